#!/bin/bash
# Listens on the second serial port: a guest that was resumed from a saved state is told that it woke, and when.
#   "wake SECONDS UUID"  sets the clock, makes this a boot of its own, lets the agent go on, and answers "awake UUID".
exec 3<>/dev/ttyS1
stty -F /dev/ttyS1 raw -echo
while read -r word seconds boot <&3; do
    [ "$word" = wake ] || continue
    date --set="@$seconds" >/dev/null
    # Each resume goes its own way from the same memory. With the same boot id, the events of two of them would carry
    # the same names, and the bot would take those of the second for repetitions.
    echo "$boot" >/run/boot_id
    mount --bind /run/boot_id /proc/sys/kernel/random/boot_id
    echo "$boot" >/run/lab-asleep
    rm /run/lab-asleep
    systemctl start lvs-agent.service
    echo "awake $boot" >&3
done
