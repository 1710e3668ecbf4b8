"""The `camlucida completion` command."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from camlucida.cli.options import OUTPUT, TerminalOptions


def completion(
    shell: Literal["bash", "zsh", "fish"],
    /,
    *,
    install: Annotated[bool, Parameter(negative=(), group=OUTPUT)] = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Print the completion script of a shell, or install it for the current user.

    Parameters
    ----------
    shell
        bash, zsh or fish.
    install
        Write the script to the shell's folder for completions and, for bash and zsh, load it in ~/.bashrc or ~/.zshrc.
    """
    from camlucida.cli.commands import app

    console = terminal.open("completion")
    if install:
        console.print_paths([app.install_completion(shell=shell)])
        console.print_line("Start a new shell to use it.")
        return console.finish()
    script = app.generate_completion(prog_name="camlucida", shell=shell)
    console.add(script=script)
    console.out(script, highlight=False)
    return console.finish()
