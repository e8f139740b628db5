# Sourced by scripts that need programs of the distribution.

step() { printf '\n== %s\n' "$*"; }

# A test that needs a program fails without it; so the programs are made sure of first.
need() { # program, Debian package, Fedora package, Homebrew package
    command -v "$1" >/dev/null && return
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        step "installing $2 from the distribution's packages"
        apt-get update -qq
        # No service is started: each test starts what it needs.
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2"
        return
    fi
    cat >&2 <<MEND
$0: $1 is needed and not on PATH. Install it and run this again:
  Debian, Ubuntu   sudo apt-get install $2
  Fedora           sudo dnf install $3
  macOS            brew install $4
MEND
    exit 69
}

# Virtual environments of Python.
need_venv() {
    if ! python3 -c 'import venv, ensurepip' 2>/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        step "installing python3-venv from the distribution's packages"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
    fi
}
