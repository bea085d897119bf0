"""Peer: chains of six tasks that do nothing, by Celery on RabbitMQ. Nothing is recorded, no result is kept.

python celery_jobs.py AMQP JOBS IN_FLIGHT

Starts its own worker, with as many processes as there are cores; the last task of a chain tells by a datagram.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
from celery import Celery, chain

app = Celery("celery_jobs", broker=os.environ.get("BROKER"))
app.conf.task_ignore_result = True
app.conf.worker_hijack_root_logger = False
STEPS = 6


@app.task
def nothing() -> None:
    pass


@app.task
def last(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"x", ("127.0.0.1", port))


def run(jobs: int, in_flight: int, told: socket.socket) -> None:
    port = told.getsockname()[1]
    steps = [nothing.si() for _ in range(STEPS - 1)]
    started = 0
    for ended in range(jobs):
        while started < min(jobs, ended + in_flight):
            chain(*steps, last.si(port)).apply_async()
            started += 1
        told.recv(16)


def main(amqp: str, jobs: int, in_flight: int) -> None:
    app.conf.broker_url = amqp
    command = [sys.executable, "-m", "celery", "-A", "celery_jobs", "worker", "-c", str(os.cpu_count())]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR"]
    environment, home = {**os.environ, "BROKER": amqp}, Path(__file__).parent
    worker = subprocess.Popen([*command, *quiet], env=environment, cwd=home, stdout=subprocess.DEVNULL)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as told:
            told.bind(("127.0.0.1", 0))
            told.settimeout(60)
            run(in_flight * 2, in_flight, told)
            began, used = time.perf_counter(), _cpu(worker.pid)
            run(jobs, in_flight, told)
            print(json.dumps({"seconds": time.perf_counter() - began, "cpu": _cpu(worker.pid) - used}))
    finally:
        worker.terminate()
        worker.wait(30)


def _cpu(worker: int) -> float:
    top = psutil.Process(worker)
    times = [process.cpu_times() for process in (top, *top.children(recursive=True))]
    return time.process_time() + sum(one.user + one.system for one in times)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
