"""DAFL: a generator learns images that the teacher is sure of, reacts to, and finds all classes in."""

from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench import Reference, param
from dfrd_bench.distillation.losses import imbalance
from dfrd_bench.distillation.synthesis import SynthesisConfig, SynthesizeThenDistill

RELEASED = "Chen et al. 2019, released code for CIFAR-10"


class DAFLConfig(SynthesisConfig):
    """DAFL's hyper-parameters; the student's schedule is the shared recipe's."""

    reinitialise: bool = param(False, "one generator for the whole training", "Chen et al. 2019, algorithm 1")
    generator_lr: float = param(0.02, "generator: Adam learning rate", RELEASED, gt=0)
    latent_lr: float = param(0.0, "latent codes are drawn, not learned", "Chen et al. 2019, algorithm 1", ge=0)
    latent_dim: int = param(1000, "length of a latent code", RELEASED, ge=1)
    lambda_oh: float = param(0.05, "weight of the one-hot loss", RELEASED, ge=0)
    lambda_a: float = param(0.01, "α, weight of the activation loss", RELEASED, ge=0)
    lambda_ie: float = param(5.0, "β, weight of the information entropy loss", RELEASED, ge=0)


class DAFL(SynthesizeThenDistill):
    """DAFL: data-free learning of student networks."""

    Config = DAFLConfig
    config: DAFLConfig
    reference = Reference("Data-Free Learning of Student Networks", "ICCV 2019", "arXiv:1904.01186")

    def generator_loss(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """L_oh + α·L_a + β·L_ie; the labels are the teacher's own."""
        last = [module for module in self.problem.teacher.modules() if isinstance(module, nn.Linear)][-1]
        features: list[Tensor] = []
        with last.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0])):
            logits = self.problem.teacher(x)
        one_hot = F.cross_entropy(logits.float(), logits.argmax(dim=1))
        c, activation = self.config, features[0].float().abs().mean()
        return {"oh": c.lambda_oh * one_hot, "a": -c.lambda_a * activation, "ie": c.lambda_ie * imbalance(logits)}
