"""Debian's nginx as a peer: what every configuration of it has, in one process and below one folder."""
from pathlib import Path

#: Where it keeps content that it has not passed on. Names without a slash are below the prefix.
TEMPORARY = "\n".join(f"  {kind}_temp_path nginx-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))


def nginx(folder: Path, http: str, complaints: str = "crit") -> list[str]:
    """Writes the configuration with what its block `http` is to have, and gives the command. `complaints` is the level from which on it
    writes to the standard error."""
    config = folder / "nginx.conf"
    config.write_text(f"""
daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
error_log stderr {complaints};
events {{ worker_connections 2048; }}
http {{
  access_log off;
{TEMPORARY}
{http}
}}
""")
    return ["nginx", "-p", str(folder), "-c", str(config)]
