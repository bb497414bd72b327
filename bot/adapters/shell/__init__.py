"""The remote shell: argv lists run on directors over SSH, with Fabric."""

from bot.adapters.shell.fabric_shell import FabricShell
from bot.adapters.shell.opening import SshLogin

__all__ = ["FabricShell", "SshLogin"]
