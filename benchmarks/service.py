"""What a service adds to the work it does: embedding and searching over HTTP beside the same in a plain loop.

    python benchmarks/service.py --run runs/quickstart [--gallery 100000] [--requests 200] [--json FILE] [KEY VALUE ...]

One client asks over a connection that stays open, each request in turn with a plain call of the same work in this
process: decoding, the forward pass, and for a search the nearest 10 of random features in FAISS's flat index. Medians
and 99th percentiles of milliseconds, and milliseconds of a processor, which hardly depend on what else runs. With
--clients N as many search at the same time for --seconds: requests per second, the slowest hundredth, errors, and the
service's memory before and after.
"""

from __future__ import annotations

import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

# Neighbours: scripts find those by themselves.
from measuring import keep_record, new_parser, new_record, positive

from reid_dml.commands.arguments import add_run
from reid_dml.ending import run_command
from reid_dml.errors import UserError

_SERVE = Path(__file__).resolve().parents[1] / "tools" / "serve.py"
_BOUNDARY = "reid-dml-benchmark"


def main() -> None:
    parser = new_parser(__doc__, repeats=None)
    parser.add_argument("--gallery", type=positive, default=100_000, metavar="N", help="images (default: 100000)")
    parser.add_argument("--requests", type=positive, default=200, metavar="N", help="of each kind (default: 200)")
    parser.add_argument("--clients", type=int, default=0, metavar="N", help="at a time, afterwards (default: none)")
    parser.add_argument("--seconds", type=positive, default=60, metavar="S", help="for which they ask (default: 60)")
    parser.add_argument("--port", type=int, default=8765, help="default: 8765")
    add_run(parser)
    arguments = parser.parse_intermixed_args()

    import cv2
    import numpy as np

    from reid_dml.commands.networks import open_extractor
    from reid_dml.data.images import decode_image
    from reid_dml.device import keep_freed_memory
    from reid_dml.features.feature_set import FeatureSet
    from reid_dml.search.gallery import Gallery

    record = new_record("service", "cpu")
    keep_freed_memory()  # as the service does
    extractor = open_extractor(arguments.run, arguments.config_file, arguments.options, "ensemble")
    rng = np.random.default_rng(0)
    height, width = (2 * side for side in extractor.cfg.DATA.STORED_SIZE)
    photo = cv2.GaussianBlur(rng.integers(0, 255, (height, width, 3), np.uint8), (9, 9), 0)
    image = cv2.imencode(".jpg", photo)[1].tobytes()
    feature = extractor([decode_image(image, "")])
    vectors = rng.standard_normal((arguments.gallery, feature.shape[1]), np.float32)
    ids = np.arange(1, arguments.gallery + 1)
    paths = np.array([f"{number}.jpg" for number in ids])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "g.index"
        gallery = Gallery.build(place, FeatureSet(vectors, ids, ids % 6, paths, extractor.model))
        del vectors
        command = [sys.executable, str(_SERVE), "--gallery", str(place), "--port", str(arguments.port), "--read-only"]
        command += ["--run", arguments.run] if arguments.run else ["--config-file", arguments.config_file]
        process = subprocess.Popen([*command, *arguments.options], stdout=subprocess.DEVNULL)
        try:
            wait(process, arguments.port)
            connection = http.client.HTTPConnection("127.0.0.1", arguments.port)
            pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
                "embed": (
                    lambda: ask(connection, "/v1/embed", image),
                    lambda: extractor([decode_image(image, "")]),
                ),
                "search": (
                    lambda: ask(connection, "/v1/search", image),
                    lambda: gallery.images(gallery.search(extractor([decode_image(image, "")]), 10).ids[0]),
                ),
                "nothing (healthz)": (lambda: ask(connection, "/healthz", b""), lambda: None),
            }
            record |= {"gallery": arguments.gallery, "dimension": feature.shape[1], "requests": arguments.requests}
            for name, (served, plain) in pairs.items():
                record[name] = beside(served, plain, arguments.requests, process.pid)
                row = record[name]
                print(
                    f"{name}: {row['served']['p50']:.2f} ms (p99 {row['served']['p99']:.2f}), plain "
                    f"{row['plain']['p50']:.2f} ms (p99 {row['plain']['p99']:.2f}): "
                    f"{row['served']['p50'] - row['plain']['p50']:+.2f} ms; of a processor "
                    f"{row['served']['cpu']:.2f} and {row['plain']['cpu']:.2f} ms"
                )
            if arguments.clients:
                record["clients"] = crowd(process.pid, arguments.port, image, arguments.clients, arguments.seconds)
                print("clients: " + ", ".join(f"{name} {value}" for name, value in record["clients"].items()))
        finally:
            process.terminate()
            process.wait()
    keep_record(arguments.json, record)


def wait(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the service answers. Raises `UserError` where it ended."""
    while process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise UserError("the service did not start; it says why above")


def ask(connection: http.client.HTTPConnection, path: str, image: bytes) -> int:
    """One request; returns its status."""
    if image:
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'.encode()
        body = head + image + f"\r\n--{_BOUNDARY}--\r\n".encode()
        connection.request("POST", path, body, {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"})
    else:
        connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def beside(
    served: Callable[[], object], plain: Callable[[], object], count: int, pid: int
) -> dict[str, dict[str, float]]:
    """Milliseconds of both, measured in turn so that whatever else runs slows both; `pid` is the service's."""
    found: dict[str, list[float]] = {"served": [], "plain": []}
    own = 0.0
    for number in range(count + 10):
        for name, work in (("served", served), ("plain", plain)):
            if number == 10 and name == "served":
                before = cpu_seconds(pid)
            started, used = time.perf_counter(), time.process_time()
            work()
            if number >= 10:  # those before warm up
                own += (name == "plain") * (time.process_time() - used)
                found[name].append(1e3 * (time.perf_counter() - started))
    cpu = {"served": 1e3 * (cpu_seconds(pid) - before) / count, "plain": 1e3 * own / count}
    return {
        name: {"p50": statistics.median(ms), "p99": percentile(ms, 99), "cpu": cpu[name]} for name, ms in found.items()
    }


def crowd(pid: int, port: int, image: bytes, clients: int, seconds: float) -> dict[str, float]:
    """Many clients at a time: what they got, and the service's memory a quarter of the time in and at the end."""
    times: list[float] = []
    statuses: dict[int, int] = {}
    began, lock = time.perf_counter(), threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while time.perf_counter() < began + seconds:
            started = time.perf_counter()
            status = ask(connection, "/v1/search", image)
            with lock:
                times.append(1e3 * (time.perf_counter() - started))
                statuses[status] = statuses.get(status, 0) + 1

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(seconds / 4)
    warm = resident_megabytes(pid)
    for thread in threads:
        thread.join()
    return {
        "clients": clients,
        "requests": len(times),
        "per second": len(times) / (time.perf_counter() - began),
        "p50 ms": statistics.median(times),
        "p99 ms": percentile(times, 99),
        "not 200": sum(count for status, count in statuses.items() if status != 200),
        "MB when warm": warm,
        "MB at the end": resident_megabytes(pid),
    }


def percentile(values: list[float], share: int) -> float:
    """A percentile of some values."""
    return sorted(values)[min(len(values) - 1, len(values) * share // 100)]


def cpu_seconds(pid: int) -> float:
    """Seconds that a process had a processor (Linux)."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid: int) -> float:
    """Resident memory of a process (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    run_command(main)
