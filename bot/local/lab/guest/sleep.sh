#!/bin/bash
# Prepares the guest for being saved: an agent that has nothing yet to tell, and all writes on the disk.
systemctl stop lvs-agent.service
rm -rf /var/lib/lvs-agent/* /var/lib/private/lvs-agent/*
sync
