"""Typing commands into a shell that goes on between them."""

import re
import subprocess

_ENDED = re.compile(r"\[ended (\d+)\]\n$")


def typed(shell: "subprocess.Popen[str]", command: str) -> tuple[int | None, str]:
    """Exit status and what was said; no status where the shell itself ended. Its standard error must go
    where its standard output goes."""
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(f'{command}\necho "[ended $?]"\n')
    shell.stdin.flush()
    said = ""
    for line in shell.stdout:
        ended = _ENDED.search(line)
        if ended is not None:
            return int(ended[1]), said + line[: ended.start()]
        said += line
    return None, said
