"""A SLURM of one machine, without systemd: munged, slurmctld and slurmd as child processes.

The node claims more cores and memory than the machine has, and GPUs that are none, so that jobs ask for what they
ask for on a real cluster. Partitions: cpu and gpu, as in the profile, and urgent, whose jobs pre-empt the others.
"""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

ETC = Path("/etc/slurm")  # a job's own srun reads no other place
MARK = "# Written by SyncDiff's tests/slurm, and removed by them.\n"
GPUS = ("/dev/null", "/dev/zero")  # any two device files will do
DAEMONS = ("munged", "slurmctld", "slurmd")
SLURM_CONF = """\
ClusterName=syncdiff
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
# A requeued job waits until its old credential has expired, two minutes unless told otherwise.
AuthInfo=socket={folder}/munge.socket,cred_expire=8
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=2,batch_sched_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
MinJobAge=3600
ReturnToService=2
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=64 RealMemory=256000 Gres=gpu:2
PartitionName=cpu Nodes=ALL Default=YES PriorityTier=1 PreemptMode=OFF
PartitionName=gpu Nodes=ALL PriorityTier=1
PartitionName=urgent Nodes=ALL PriorityTier=9 PreemptMode=OFF
"""


def reason_to_skip() -> str | None:
    """Why this machine cannot run the test SLURM; None where it can."""
    if missing := [name for name in (*DAEMONS, "mungekey") if not shutil.which(name, path=_path())]:
        return f"SLURM is not installed ({', '.join(missing)}): apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "only root can start a SLURM of its own"
    configured = ETC / "slurm.conf"
    if configured.exists() and not configured.read_text().startswith(MARK):
        return f"{configured} belongs to a SLURM of this machine"
    ping = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, check=False)
    if configured.exists() and " UP" in ping.stdout:
        return "another run of these tests has its SLURM on this machine"
    return None


def slurm(*command: str) -> str:
    """Run a command of SLURM's and return what it printed."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def jobs() -> list[dict[str, str]]:
    """All jobs since the start, oldest first, as `scontrol show jobs` tells them."""
    told = slurm("scontrol", "--oneliner", "show", "jobs").splitlines()
    return [dict(field.split("=", 1) for field in line.split() if "=" in field) for line in told if "JobId=" in line]


def jobs_of(rule: str, folder: Path) -> list[dict[str, str]]:
    """The jobs of a rule, run for the workflow in a folder: the executor leaves the rule's name in the comment."""
    named = [(job, job.get("Comment", "")) for job in jobs() if job["WorkDir"] == str(folder)]
    return [job for job, comment in named if comment == f"rule_{rule}" or comment.startswith(f"rule_{rule}_wildcards_")]


class Cluster:
    """The three daemons; `start` returns when the node is idle, `stop` leaves nothing behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Write the configuration and start the daemons, each when the one before it answers."""
        self._configure()
        munge = [f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        self._run("munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *munge)
        self._wait_for("munge", "-n", "-S", f"{self.folder}/munge.socket", answer="MUNGE")
        self._run("slurmctld", "-D")
        self._wait_for("scontrol", "ping", answer="UP")
        self._run("slurmd", "-D")
        self._wait_for("sinfo", "--noheader", "--format=%T", answer="idle")

    def stop(self) -> None:
        """Cancel all jobs, stop the daemons in reverse order, and take the configuration away."""
        self._end_jobs()
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for name in ("slurm.conf", "gres.conf"):
            (ETC / name).unlink(missing_ok=True)

    def _end_jobs(self, seconds: float = 20) -> None:
        """Cancel what is in the queue and wait until it has left the node."""
        until = time.monotonic() + seconds
        subprocess.run(["scancel", "--user=root", "--full"], capture_output=True, check=False)
        while time.monotonic() < until:
            if not subprocess.run(["squeue", "--noheader"], capture_output=True, check=False).stdout:
                return
            time.sleep(0.3)

    def _configure(self) -> None:
        host = socket.gethostname().split(".")[0]
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        subprocess.run([_found("mungekey"), "--create", f"--keyfile={self.folder}/munge.key"], check=True)
        ETC.mkdir(exist_ok=True)
        (ETC / "slurm.conf").write_text(MARK + SLURM_CONF.format(host=host, folder=self.folder))
        (ETC / "gres.conf").write_text(MARK + "".join(f"NodeName={host} Name=gpu File={device}\n" for device in GPUS))

    def _run(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.daemons.append(subprocess.Popen([_found(name), *arguments], stdout=log, stderr=subprocess.STDOUT))

    def _wait_for(self, *command: str, answer: str, seconds: float = 20) -> None:
        """Ask until the answer comes; the daemons' own words are in the error where it does not."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            asked = subprocess.run(command, capture_output=True, text=True, check=False)
            if answer in asked.stdout:
                return
            time.sleep(0.2)
        logs = "\n".join(f"{path.name}: {path.read_text()[-1500:]}" for path in self.folder.glob("*.log"))
        raise RuntimeError(f"{command[0]} did not answer {answer!r} in {seconds:.0f} s\n{logs}")


def _path() -> str:
    """The search path with the folders of daemons, which a user's own may lack."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def _found(name: str) -> str:
    return shutil.which(name, path=_path()) or name
