"""One photograph through the whole house: classified, explained, attacked, and asked about once more.

    make demo                                     pictures in demo/
    .venv/bin/python scripts/demo.py --picture F  the picture of the README as well

Starts `rakinglight serve`, and stops it again.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import skimage.data
from PIL import Image

import rakinglight
from rakinglight import pictures
from rakinglight.pictures import Panel
from rakinglight.results import Answer

ROOT = Path(__file__).parent.parent
MODEL = "efficientnet-lite0"
TARGET = "toaster"
#: Four of one pass or little more, so that the demonstration stays quick, and what they show is as different as can be.
METHODS = ["gradient", "gradient_x_input", "guided_backprop", "grad_cam"]
#: Seconds. Archives that are missing are built first, which takes longest.
PATIENCE_S = 180


def main() -> None:
    parser = argparse.ArgumentParser(description="The demonstration that `make demo` runs.")
    parser.add_argument("--output", type=Path, default=ROOT / "demo", help="the folder for the pictures")
    parser.add_argument("--picture", type=Path, help="where the README's picture goes as well")
    parser.add_argument("--engine", help="torchserve or local; the setting's, if it is not given")
    options = parser.parse_args()
    try:
        with service(options.engine) as url:
            show(url, options.output, options.picture)
    except KeyboardInterrupt:
        sys.exit(130)


def show(url: str, folder: Path, readme: Path | None) -> None:
    """What the demonstration shows."""
    folder.mkdir(exist_ok=True)
    photograph: np.ndarray = skimage.data.chelsea()  # type: ignore[no-untyped-call]
    Image.fromarray(photograph).save(folder / "photograph.png")
    with rakinglight.connect(url) as client:
        model = client.model(MODEL)

        said = model.classify(photograph)
        print(f"\nThe photograph   {said.prediction}")

        explained = model.saliency(photograph, "gradient")
        explained.overlay.save(folder / "saliency.png")
        row, column = np.unravel_index(explained.map.argmax(), explained.map.shape)
        print(f"Explained        the score depends most on the pixel in row {row}, column {column}")

        ways = model.saliency(photograph, METHODS)
        ways.overlay.save(folder / "explanations.png")
        print(f"By other methods {', '.join(METHODS)}, side by side")

        attacked = model.attack(photograph, "pgd", target=TARGET, epsilon="4/255", step_size="1/255", steps=20)
        (folder / "adversarial.png").write_bytes(attacked.adversarial_png)
        attacked.perturbation.save(folder / "perturbation.png")
        levels = round(attacked.distance["linf"] * 255)
        print(f"Attacked         towards {TARGET}: no value changed by more than {levels} of 255 levels")

        again = model.classify(folder / "adversarial.png")
        print(f"Posted back      {again.prediction}")
        if again.prediction.label == said.prediction.label:
            sys.exit("The label did not change. That is not what this demonstration is for: please report it.")

    adversarial = np.asarray(attacked.adversarial)
    before, after = seen(photograph, said), seen(adversarial, said)
    changed, factor = pictures.amplified(np.asarray(before), np.asarray(after))
    sheet = pictures.sheet(
        [
            Panel(before, str(said.prediction), "the photograph"),
            Panel(explained.overlay, "what it looks at", f"gradient saliency of {explained.target.label}"),
            Panel(changed, "what is changed", f"PGD within {levels}/255, shown {factor} times stronger"),
            Panel(after, str(again.prediction), "the picture that was posted back"),
        ],
        width=explained.overlay.width,
    )
    for path in filter(None, (folder / "rakinglight.png", readme)):
        sheet.save(path, optimize=True)
    print(
        f"\nThe pictures are in {short(folder)}/: rakinglight.png shows the attack, explanations.png the methods.\n\n"
        "Go on with your own:\n"
        "    make serve                                              # the service, with its page at /docs\n"
        "    .venv/bin/rakinglight saliency PICTURE -o map.png       # in another terminal\n"
        "    .venv/bin/rakinglight saliency PICTURE --method gradient,grad_cam --target lynx --target tabby -o m.png\n"
        "    .venv/bin/rakinglight attack PICTURE --target goldfish -o pictures/"
    )


def seen(photograph: np.ndarray, answer: Answer) -> Image.Image:
    """The part of `photograph` (uint8 [H, W, 3]) that the model sees, at the photograph's own resolution."""
    geometry = answer.entry["geometry"]
    scale = geometry["original"][0] / geometry["resized"][0]
    top, left, height, width = (round(n * scale) for n in geometry["crop"])
    return Image.fromarray(photograph[top : top + height, left : left + width])


@contextmanager
def service(engine: str | None) -> Iterator[str]:
    """A service, ready to be asked; its URL."""
    port, grpc_port = free(8000), free(8001)
    url = f"http://127.0.0.1:{port}"
    home = Path(os.environ.get("RAKINGLIGHT_HOME", ROOT / ".rakinglight"))
    (home / "logs").mkdir(parents=True, exist_ok=True)
    log = home / "logs" / "demo.log"
    command = [str(Path(sys.executable).with_name("rakinglight")), "serve", "--port", str(port)]
    command += ["--grpc-port", str(grpc_port), "--model", MODEL, "--home", str(home)]
    command += ["--engine", engine] if engine else []
    # As it comes: a key or a port that is set for another service is not meant here.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAKINGLIGHT_")}
    with log.open("w") as out:
        # A session of its own: Ctrl-C reaches this script alone, which then stops the service in good order.
        serving = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        await_ready(serving, url, log)
        yield url
    finally:
        serving.send_signal(signal.SIGINT)
        try:
            serving.wait(30)
        except subprocess.TimeoutExpired:
            serving.kill()


def await_ready(serving: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until the service says that it is ready, and show that time passes."""
    begun = time.monotonic()
    while (waited := time.monotonic() - begun) < PATIENCE_S:
        if serving.poll() is not None:
            sys.exit(f"\nThe service ended with {serving.returncode}. It said:\n{log.read_text()[-2000:]}")
        last = (log.read_text().splitlines() or ["..."])[-1]
        tell(f"Starting the service on {url}: {waited:3.0f} s   {last[:60]}")
        try:
            if httpx2.get(f"{url}/readyz", timeout=2, trust_env=False).is_success:
                tell(f"The service is ready on {url} after {waited:.1f} s.\n")
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.25)
    sys.exit(f"\nThe service was not ready in {PATIENCE_S} s; {log} holds what it said.")


def tell(words: str) -> None:
    """A line that the next one writes over, where somebody watches."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K{words}", end="", flush=True)
    elif words.endswith("\n"):
        print(words, end="", flush=True)


def free(port: int) -> int:
    """`port`, or another if that is taken."""
    for candidate in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise AssertionError("the system has no free port")


def short(path: Path) -> Path:
    """`path` as seen from here, where it is below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    main()
