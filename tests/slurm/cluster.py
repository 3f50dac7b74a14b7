"""A real SLURM on this machine: two nodes under one roof, bound to loopback, all files in a folder.

`python tests/slurm/cluster.py up FOLDER` prints the variable that finds it; `down FOLDER` ends it.
Needs root and the Debian packages slurmctld, slurmd, slurm-client and munge.
"""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
NODES, CPUS, MEMORY = 2, 4, 6000

#: Requeued jobs wait until their credential has expired (`cred_expire`, 120 s if not said).
CONFIGURATION = """\
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge/munge.sock,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort={port}
FirstJobId={first}
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/slurmd-%n.pid
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,defer_batch=0,sched_min_interval=0
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=10
MinJobAge=300
SlurmctldTimeout=30
SlurmdTimeout=60
PropagateResourceLimits=NONE
{nodes}
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why there can be no cluster here; empty where there can."""
    lacking = [name for name in PROGRAMS if _program(name) is None]
    if lacking:
        packages = "slurmctld slurmd slurm-client munge"
        return f"{', '.join(lacking)} not found: apt-get install {packages}"
    return "" if os.getuid() == 0 else "the daemons of SLURM need root"


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"]))


class Cluster:
    """The daemons of one cluster, under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.configuration = self.root / "slurm.conf"

    def up(self) -> None:
        """Starts the daemons and returns when all nodes are idle."""
        for name in ("state", "log", "munge", "run", *(f"spool-n{i}" for i in _numbers())):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "munge").chmod(0o700)
        self._write()
        munge = self.root / "munge"
        options = {"key-file": "munge.key", "socket": "munge.sock", "log-file": "munged.log"}
        options |= {"seed-file": "munged.seed"}
        words = [f"--{key}={munge / file}" for key, file in options.items()]
        pid = f"--pid-file={self.root}/run/munged.pid"
        self.run(["munged", "--force", "--num-threads=2", pid, *words])
        self.run(["slurmctld", "-c", "-i"])
        for i in _numbers():
            self.run(["slurmd", "-N", f"n{i}"])
        idle = ["sinfo", "--noheader", "--Node", "--states=idle", "--format=%N"]
        until(lambda: len(set(self.run(idle, check=False).split())) == NODES, 30)

    def _write(self) -> None:
        port = _free_ports(NODES + 1)
        host = socket.gethostname().split(".")[0]
        nodes = "\n".join(
            f"NodeName=n{i} NodeHostname={host} NodeAddr=127.0.0.1 Port={port + i} CPUs={CPUS} "
            f"RealMemory={MEMORY} State=UNKNOWN"
            for i in _numbers()
        )
        first = 1 + port % 90 * 100  # Lightning's port follows from it: unlike in two clusters
        text = CONFIGURATION.format(root=self.root, host=host, port=port, first=first, nodes=nodes)
        self.configuration.write_text(text)
        (self.root / "cgroup.conf").write_text("CgroupAutomount=no\nConstrainCores=no\n")
        key = self.root / "munge" / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)

    def down(self) -> None:
        """Ends jobs and daemons, politely and then not."""
        if self.processes():
            self.run(["scancel", "--signal=KILL", "--full", "--partition=debug"], check=False)
            self.run(["scancel", "--partition=debug"], check=False)
            queue = ["squeue", "--noheader"]
            until(lambda: not self.run(queue, check=False).strip(), 10, fails=False)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            until(lambda: not self.processes(), 5, fails=False)

    def processes(self) -> list[int]:
        """Daemons and jobs that were told of this cluster's files and still run.

        Pid files say too little: a slurmd that waits for a step has deleted its own.
        """
        ours = f"SLURM_CONF={self.configuration}"
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it may have ended; a zombie has no variables left
                variables = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
                is_daemon = (folder / "comm").read_text().startswith(("slurm", "munge"))
                is_job = any(variable.startswith("SLURM_JOB_ID=") for variable in variables)
                if ours in variables and (is_daemon or is_job):
                    found.append(int(folder.name))
        return found

    def listening(self) -> list[int]:
        """Ports of the daemons on which somebody still answers."""
        text = self.configuration.read_text()
        ports = map(int, re.findall(r"Port=(\d+)", text))
        with ExitStack() as stack:
            return [port for port in ports if _answers(stack.enter_context(socket.socket()), port)]

    def variables(self) -> dict[str, str]:
        return os.environ | {"SLURM_CONF": str(self.configuration)}

    def run(self, command: list[str], check: bool = True) -> str:
        program = [_program(command[0]) or command[0], *command[1:]]
        done = subprocess.run(
            program, env=self.variables(), capture_output=True, text=True, timeout=60
        )
        if check and done.returncode:
            raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout


def _numbers() -> range:
    return range(1, NODES + 1)


def _answers(probe: socket.socket, port: int) -> bool:
    return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_ports(count: int) -> int:
    """The first of so many ports on loopback that nobody uses."""
    for base in range(17310 + os.getpid() % 100 * 10, 27000, 50):
        try:
            for port in range(base, base + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise RuntimeError("no free ports on loopback")


def until(holds: Callable[[], bool], seconds: float, fails: bool = True) -> None:
    """Waits until something holds; looks five times a second."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            if fails:
                raise TimeoutError(f"not within {seconds} s")
            return
        time.sleep(0.2)


if __name__ == "__main__":
    cluster = Cluster(Path(sys.argv[2]))
    if sys.argv[1] == "up":
        sys.exit(missing()) if missing() else cluster.up()
        print(f"export SLURM_CONF={cluster.configuration}")
    else:
        cluster.down()
