"""`migmond`: from argv and environment to a running daemon."""

from __future__ import annotations

import faulthandler
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import trio

from migmond.client.address import SYSTEM_SOCKET, make_private, runtime_directory, xdg
from migmond.client.errors import Unreachable
from migmond.config.files import DROP_INS, MAIN_FILE, SYSTEM_DIRECTORIES
from migmond.config.load import Config, load
from migmond.daemon.activation import inherited_sockets
from migmond.daemon.app import BUILTIN_PLUGINS, serve
from migmond.daemon.from_config import missing_groups, storage_context
from migmond.daemon.live_config import LiveConfig
from migmond.daemon.logs import make_log
from migmond.daemon.notify import Notifier
from migmond.daemon.options import Options, parse
from migmond.daemon.setup import Setup
from migmond.daemon.watchdog import watchdog_interval_s
from migmond.domain.errors import ConfigError, MigmondError
from migmond.fsys.ownership import weak_spot
from migmond.plugin_host.discovery import installed
from migmond.plugin_host.host import PluginHost

SWITCH_INTERVAL_S = 0.0005
_STATE_DIRECTORY = "/var/lib/migmond"


def main(arguments: list[str] | None = None) -> None:
    """Run the daemon; exits 0 after an ordered stop, 1 when it could not start, 2 on bad usage."""
    faulthandler.enable()  # a crash of foreign machine code leaves no other trace than this
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        config = _load(options)
        if options.check_config:
            for value in config.values():
                print(f"{value.key} = {value.value}  # {value.origin}")
            for warning in missing_groups(config):
                print(f"warning: {warning}", file=sys.stderr)
            return
        if options.restore is not None:
            print(_restore(options, config, options.restore))
            return
        # The journal's threads build rows while the loop answers clients: short turns keep the answers quick.
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        setup = _setup(options, config)
        os.umask(0o077)  # the journal tells the names of everybody's files
        trio.run(serve, setup)
    except MigmondError as e:
        _say(e)
        sys.exit(1)
    except BaseExceptionGroup as group:
        expected, other = group.split(MigmondError)
        if expected is None or other is not None:
            raise
        error: BaseException = expected
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        assert isinstance(error, MigmondError)
        _say(error)
        sys.exit(1)


def _say(error: MigmondError) -> None:
    print(f"migmond: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


def _system(options: Options) -> bool:
    """Whether this is the machine's daemon: only root may write what it trusts."""
    return os.geteuid() == 0 and not options.user


def _load(options: Options) -> Config:
    """Read the configuration.

    Raises:
        ConfigError: it is wrong, or a directory that was named is not there: the defaults were not asked for.
    """
    for directory in options.config_directories:
        if not directory.is_dir():
            raise ConfigError(
                f"{directory} of --config-directory is no directory",
                hint=f"name one that has {MAIN_FILE} or {DROP_INS}/",
            )
    return load(config_directories(options, os.environ), root_owned=_system(options))


def config_directories(options: Options, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where to look for configuration, from the lowest to the highest priority."""
    if options.config_directories:
        return options.config_directories
    if options.user:
        home = xdg(environment, "XDG_CONFIG_HOME") or str(Path.home() / ".config")
        return (*SYSTEM_DIRECTORIES, Path(home) / "migmond")
    return SYSTEM_DIRECTORIES


def _setup(options: Options, config: Config) -> Setup:
    environment, pid = os.environ, os.getpid()
    live = LiveConfig(config, lambda: _load(options))
    log = make_log(lambda: live.newest.settings.daemon.log_level, environment)
    inherited = tuple(inherited_sockets(environment, pid))
    directories, root_owned = config_directories(options, environment), _system(options)
    state_directory = _state_directory(options, config, environment)
    if root_owned:
        _refuse_weak_state(state_directory)

    def ready() -> None:
        if options.ready_fd is not None:
            os.write(options.ready_fd, b"\n")
            os.close(options.ready_fd)

    return Setup(
        config=live,
        user_daemon=options.user,
        root_owned=root_owned,
        state_directory=state_directory,
        config_directories=directories,
        socket_path=_socket_path(options, config, environment, inherited=bool(inherited)),
        inherited=inherited,
        notifier=Notifier(environment),
        log=log,
        watchdog_s=watchdog_interval_s(environment, pid),
        exit_when_idle_s=options.exit_when_idle_s,
        ready=ready,
    )


def _restore(options: Options, config: Config, backup: Path) -> str:
    """Put a backup in the journal's place; return what was done, for people."""
    host = PluginHost(installed(BUILTIN_PLUGINS), config.settings.plugins, time.time)
    storage = host.storage(config.settings.daemon.storage)
    if storage.restore is None:
        raise ConfigError(f"the storage {storage.name} has no backups", hint="see its own documentation")
    return storage.restore(storage_context(_state_directory(options, config, os.environ), config), backup)


def _state_directory(options: Options, config: Config, environment: Mapping[str, str]) -> Path:
    if options.state_directory is not None:
        return options.state_directory.absolute()
    if config.settings.daemon.state_directory:
        return Path(config.settings.daemon.state_directory)
    if options.user:
        home = xdg(environment, "XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        return Path(home) / "migmond"
    return Path(environment.get("STATE_DIRECTORY", _STATE_DIRECTORY).split(":")[0])


def _refuse_weak_state(directory: Path) -> None:
    """Whoever could put a journal there could have root's movers do whatever it says."""
    weak = weak_spot(str(directory))
    if weak is None and directory.exists() and directory.stat().st_mode & 0o022:
        weak = f"{directory} may be written by others"  # weak_spot lets the sticky bit pass
    if weak is not None:
        raise ConfigError(
            f"the journal in {directory} could be changed by others than root: {weak}",
            hint="chown root, chmod go-w; or give another --state-directory",
        )


def _socket_path(options: Options, config: Config, environment: Mapping[str, str], *, inherited: bool) -> str:
    if options.socket is not None:
        return str(Path(options.socket).absolute())
    if config.settings.socket.path:
        return config.settings.socket.path
    if not options.user:
        if not inherited:
            _make_system_directory()
        return SYSTEM_SOCKET
    directory = runtime_directory(environment, os.geteuid())
    try:
        make_private(directory, os.geteuid())
    except Unreachable as e:
        raise ConfigError(e.message, hint=e.hint) from e
    return os.path.join(directory, "socket")


def _make_system_directory() -> None:
    directory = Path(SYSTEM_SOCKET).parent
    try:
        directory.mkdir(mode=0o755, exist_ok=True)
    except OSError as e:
        hint = "give a --socket" if os.geteuid() == 0 else "without root's rights, start migmond --user"
        raise ConfigError(f"cannot make {directory} for the socket: {e.strerror}", hint=hint) from e
