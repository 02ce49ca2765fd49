"""`python -m dfrd_bench.evaluation.helper`: a process that attacks the batches it is given, and ends with whoever started it.

It listens on standard input and answers on what was standard output; what code prints goes to standard error. Signals are for
whoever started it: Ctrl-C reaches every process of a terminal.
"""

from __future__ import annotations

import io
import logging
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import IO, Any

DEAF_TO = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")


def main() -> None:
    """Until standard input closes."""
    for name in DEAF_TO:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    hears, says = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    logging.getLogger().addHandler(logging.NullHandler())  # whoever started it loads the same, and says the same of it
    sys.path[:], device = pickle.loads(_framed(hears))
    orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
    orders.put(_framed(hears))
    threading.Thread(target=_listen, args=(hears, orders), name="orders", daemon=True).start()
    _obey(orders, device, says)


def _framed(pipe: IO[bytes]) -> bytes:
    """What `messages.send` sent, as it is: to read it may take what is not imported yet."""
    length = int.from_bytes(pipe.read(8), "little")
    return pipe.read(length)


def _listen(pipe: IO[bytes], orders: queue.SimpleQueue[Any]) -> None:
    """Pass orders on; where there will be none, nobody wants what is being done either."""
    try:
        from dfrd_bench.evaluation.messages import receive

        with suppress(EOFError):
            while True:
                orders.put(receive(pipe))
    except BaseException:  # it would wait for orders for ever
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(0)


def _obey(orders: queue.SimpleQueue[Any], device: str, says: IO[bytes]) -> None:
    from dfrd_bench.attacks.crew import Calls
    from dfrd_bench.evaluation.messages import Asked, Batch, Raised, send
    from dfrd_bench.problem import Precision

    try:
        attacking, calls = _set_up(orders.get(), device), Calls()
        with Precision("fp32").backends(same_shapes=False):
            while True:
                batch: Batch = orders.get()
                calls.begin(lambda count, number=batch.number: send(says, Asked(number, count)))  # type: ignore[misc]
                send(says, _attacked(batch, attacking(batch.attack, calls)))
    except BaseException as error:
        send(says, Raised(_portable(error), traceback.format_exc()))


def _set_up(data: bytes, place: str) -> Callable[[str, Any], Any]:
    """What gives, for an attack by name, what attacks its batches; that of the last one is kept."""
    import torch

    from dfrd_bench.attacks.crew import Attacking, Calls
    from dfrd_bench.evaluation.under_attack import DivisibleAttack, by_batches
    from dfrd_bench.registry import ATTACKS

    given = torch.load(
        io.BytesIO(pickle.loads(data)), map_location="cpu", weights_only=False
    )  # it comes from `Helpers`
    device = torch.device(place)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    model, images = given["model"].to(device), given["images"]
    common: dict[str, Any] = {name: given[name] for name in ("threat", "seed")}
    made: dict[str, Attacking] = {}

    def attacking(name: str, calls: Calls) -> Attacking:
        if name not in made:
            made.clear()
            attack = ATTACKS.get(name)
            if isinstance(attack, DivisibleAttack):
                made[name] = attack.attacking(model, images, device=device, calls=calls, **common)
            else:
                made[name] = by_batches(attack, model, images, device=device, **common)
        return made[name]

    return attacking


def _attacked(batch: Any, attacking: Callable[[str, Any], Any]) -> Any:
    """The answer to an order."""
    from dfrd_bench.attacks.verdict import AttackWarning
    from dfrd_bench.evaluation.messages import Done

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AttackWarning)
        found = attacking(batch.stage, batch.where)
    notes = tuple(str(one.message) for one in caught if issubclass(one.category, AttackWarning))
    others = [one for one in caught if not issubclass(one.category, AttackWarning)]
    warned = tuple((str(one.message), one.category, one.filename, one.lineno) for one in others)
    if found is not None:
        found = replace(found, notes=(*found.notes, *notes), x_adv=None)
    return Done(batch.number, found, warned)


def _portable(error: BaseException) -> BaseException:
    """An error, or one with its words where it cannot be pickled."""
    from dfrd_bench.errors import in_a_line

    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    except Exception:
        pass
    return RuntimeError(in_a_line(error))


if __name__ == "__main__":
    main()
