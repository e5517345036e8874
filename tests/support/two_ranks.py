"""A training by two processes, as torchrun starts them, but that they are forks of one that has imported torch.

Arguments: a folder for what they say, and the training's command line. It is a program of its own: a process with
threads, as one that runs tests, cannot be forked safely.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import torch

from flows.commands.train import main


def rank(number: int, port: int, folder: Path, arguments: list[str]) -> int:
    """Trains as one of the two; returns the exit code."""
    os.environ.update(
        WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(number), LOCAL_RANK=str(number)
    )
    torch.set_num_threads(1)
    with (folder / f"said-{number}").open("w") as sys.stderr:
        return main(arguments)


def both(folder: Path, arguments: list[str]) -> list[int]:
    """The exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for number in (0, 1):
        if (child := os.fork()) == 0:
            os._exit(rank(number, port, folder, arguments))
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


if __name__ == "__main__":
    sys.exit(max(map(abs, both(Path(sys.argv[1]), sys.argv[2:]))))
