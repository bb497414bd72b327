#!/bin/bash
# Prepares the guest for being saved: an agent that has nothing to tell yet, and all writes on the disk.
systemctl stop lvs-agent.service
rm -rf /var/lib/lvs-agent/*
mkfifo /run/lab-asleep
systemctl start --no-block lvs-agent.service
until [ -e /run/lvs-agent/asleep ]; do sleep 0.1; done
sync
