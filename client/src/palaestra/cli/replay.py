"""`palaestra replay`: an episode again, in the simulator, where the venue's software is installed too."""

from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import Json, Profile

_ROOM = "runner.replay"


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(replay)


def replay(
    episode: Annotated[str, typer.Argument(metavar="EPISODE", help="Name of an episode, or a sealed file of one.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare states bit for bit; of a unit: the residual to its twin.")
    ] = False,
    picture: Annotated[Path | None, typer.Option(metavar="OUT.png", help="Draw some moments of it.")] = None,
    video: Annotated[
        Path | None, typer.Option(metavar="OUT.mp4", help="Draw all of it (.mp4, .gif, .webp, .png).")
    ] = None,
    camera: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show what this camera recorded, instead of drawing it anew.")
    ] = None,
    profile: Profile = None,
    as_json: Json = False,
) -> int:
    """Run a recorded episode again: 0 as recorded, 1 differs, 2 cannot be compared."""
    import importlib.util
    import subprocess
    import sys
    import tempfile

    from palaestra.cli.failure import report
    from palaestra.errors import PalaestraError

    if importlib.util.find_spec("runner") is None:
        raise typer.BadParameter("replays need the venue's software (palaestra-server) beside this client")
    words = [flag for flag, on in (("--verify", verify), ("--json", as_json)) if on]
    for flag, path in (("--picture", picture), ("--video", video)):
        words += [flag, str(path.resolve())] if path else []
    words += ["--camera", camera] if camera else []
    with tempfile.TemporaryDirectory(prefix="palaestra-replay-") as folder:
        try:
            file = Path(episode)
            if not file.is_file():
                file = fetch(episode, Path(folder) / "episode.parquet", profile)
        except (PalaestraError, OSError) as error:
            # Not the 1 of other commands, which here says that the episode differs.
            report(error, as_json=as_json)
            return 2
        return subprocess.run([sys.executable, "-P", "-m", _ROOM, str(file), *words], check=False).returncode


def fetch(episode: str, out: Path, profile: str | None) -> Path:
    """Fetch an episode's file from the venue."""
    from palaestra import names
    from palaestra.cli.session import connect, find_login
    from palaestra.download import download
    from palaestra.errors import PalaestraError

    login = find_login(profile)
    if not login.api_url:
        raise PalaestraError("INVALID_FIELD", "the login names no api_url: log in again with the venue's file")
    with connect(profile) as client:
        name = names.episode(episode, client.identity())
    url = f"{login.api_url.rstrip('/')}/v1/{name}/content"
    download(url, login.token, out, show=False, tls_root=login.tls_root, is_whole=_is_parquet, kind="Parquet file")
    return out


def _is_parquet(path: Path) -> bool:
    data = path.read_bytes()
    return len(data) > 12 and data[:4] == data[-4:] == b"PAR1"
