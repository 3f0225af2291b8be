#!/usr/bin/env bash
# Starts a real systemd for a user without privileges, installs the agent's service as that user, and prints what is asked.
# Run by test_real_manager.py as root, in private mount, process and control-group namespaces:
#   user_manager.sh ROOT PYTHON COMMANDS          COMMANDS is bash, run by the user in the user's home
set -euo pipefail
root=$1 python=$2 commands=$3
user=4242

mount -t proc proc /proc
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
group=$(mktemp -d "/sys/fs/cgroup/cellmind-test-XXXXXX")
mkdir "$group/manager"
chown -R $user:$user "$group"
trap 'echo 0 >/sys/fs/cgroup/cgroup.procs; echo 1 >"$group/cgroup.kill"; sleep 0.5; find "$group" -depth -type d -exec rmdir {} \;' EXIT
echo 0 >"$group/manager/cgroup.procs"

# What a booted system has: these folders, and a user with a home.
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/systemd/unit-root /run/user/$user
mount -t tmpfs tmpfs /home
mkdir -m 0700 /home/mina
chown $user:$user /home/mina /run/user/$user
{ cat /etc/passwd; echo "mina:x:$user:$user::/home/mina:/bin/bash"; } >/run/passwd
mount --bind /run/passwd /etc/passwd

# That user can enter the folders of this Python and of the product, even if they are root's, here and nowhere else.
folder=$(dirname "$(readlink -f "$python")")
while [ "$folder" != / ]; do
  if [ $(($(stat -c %a "$folder") % 2)) = 0 ]; then
    mkdir -p "/run/over$folder/up" "/run/over$folder/work"
    mount -t overlay overlay -o "lowerdir=$folder,upperdir=/run/over$folder/up,workdir=/run/over$folder/work" "$folder"
    chmod o+x "$folder"
  fi
  folder=$(dirname "$folder")
done
mkdir -p /run/cellmind
mount --bind "$root" /run/cellmind
printf '#!/bin/sh\nPYTHONPATH=/run/cellmind PYTHONDONTWRITEBYTECODE=1 exec /run/cellmind/.venv/bin/python -m cellmind_agent.main "$@"\n' >/run/agent
chmod 755 /run/agent
mount --bind /run/agent /run/cellmind/.venv/bin/cellmind-agent

as_user() {
  setpriv --reuid $user --regid $user --clear-groups --inh-caps=-all env -i HOME=/home/mina USER=mina PATH=/usr/bin:/bin \
    XDG_RUNTIME_DIR=/run/user/$user CELLMIND_LANG=en PYTHONPATH=/run/cellmind PYTHONDONTWRITEBYTECODE=1 "$@"
}
as_user "$(command -v systemd || echo /lib/systemd/systemd)" --user >/run/manager.log 2>&1 &
for _ in $(seq 50); do
  case "$(as_user systemctl --user is-system-running 2>/dev/null)" in running | degraded) break ;; esac
  sleep 0.2
done
cd /home/mina
if [ "${BROKEN_SANDBOX:-}" ]; then rmdir /run/systemd/unit-root; fi # systemd builds every sandbox there
as_user bash -euc "agent() { /run/cellmind/.venv/bin/python -m cellmind_agent.main --no-mdns --listen 127.0.0.1:0 \"\$@\"; }
ctl() { /run/cellmind/.venv/bin/python -m cellmind_ctl.main \"\$@\"; }
$commands"
