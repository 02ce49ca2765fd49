"""The methods as their authors' scripts compute them: eager PyTorch, contiguous layout, autograd through everything.

Only the way of computing differs from the product's. Networks, generators, hyper-parameters, the pool, the views and the order
of random draws are the product's own, so that both give the same losses (`benchmarks.speed.agreement`). Nothing is copied:
what follows is written from the equations.

Costs of the released scripts that are reproduced here (repository at the commit that docs/reproducibility.md names, file:line):

- Neither teacher nor student is frozen during synthesis: `loss.backward()` computes the gradients of all of their weights
  as well, which nobody uses (FERD IBD_module_cmi.py:223, CMI datafree/synthesis/contrastive.py:336, Fast-Datafree
  datafree/synthesis/fast_meta.py:158 and deepinversion.py:112, ZSKT solver.py:99, DFHL-RS train.py:256).
- Noise scale of FERD: an Adam made for every call, 50 steps of autograd through the teacher's head, `loss.backward()` into
  the head's weights too (FERD models/IFP.py:69-82). The rest of the teacher is not run again; the head is, on the robust
  features, the non-robust ones and the features themselves (IFP.py:94-100).
- The decoupled KL over all pairs of classes, [N, K, K] (FERD losses.py:44-61).
- BatchNorm statistics by forward hooks, the variance from a permuted contiguous copy (Fast-Datafree datafree/hooks.py, FERD
  networks/deepinversion.py:92-93).
- Contrastive loss of CMI: the projection head is run with gradients on all features, also on those that are then detached
  (CMI datafree/synthesis/contrastive.py:304-320).
- Adversarial examples: the student as it is, in eval mode, its BatchNorm not folded, a forward and a backward pass per step
  (FERD query_sample.py:42-64, RSLAD rslad_loss.py:43-51, DFHL-RS query_sample.py:8-22).
  They ask `torch.autograd.grad` for the images' gradient alone, so no gradients of weights there.
- Evaluation by PGD: `loss.backward()`, which computes the weights' gradients too (RSLAD rslad_loss.py:8-24).
- `.item()` twice in every step of synthesis, to keep the best batch (IBD_module_cmi.py:228-229, fast_meta.py:153-154).

Left out, though they cost the scripts time: images kept as files and read back through a DataLoader, views by kornia, statistics
hooks of the student that no loss uses (IBD_module_cmi.py:155-158) and hooks that run outside synthesis, DataParallel, logging.
"""
