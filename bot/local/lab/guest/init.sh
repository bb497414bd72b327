#!/bin/busybox sh
# The first process of a guest: puts its root together from the shared image and its own disk, then hands over.
/bin/busybox mkdir -p /proc /sys /dev /lower /upper /sysroot
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev

fail() {
    echo "lab init: $1" >/dev/console
    /bin/busybox sleep 1
    /bin/busybox poweroff -f
}

while read -r module; do
    /bin/busybox insmod "$module" || fail "cannot load $module"
done </modules

/bin/busybox mount -t squashfs -o ro /dev/vda /lower || fail "cannot mount the image"
/bin/busybox mount -t ext4 -o noatime /dev/vdb /upper || fail "cannot mount the guest's own disk"
/bin/busybox mkdir -p /upper/data /upper/work
/bin/busybox mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work root /sysroot ||
    fail "cannot lay the disk over the image"

# Once only: what is changed on the guest later must survive its restart.
if [ ! -e /upper/seeded ]; then
    /bin/busybox cp -a /seed/. /sysroot/ || fail "cannot copy the seed"
    /bin/busybox sync
    /bin/busybox touch /upper/seeded
fi

/bin/busybox umount /proc
/bin/busybox umount /sys
exec /bin/busybox switch_root /sysroot /lib/systemd/systemd </dev/console >/dev/console 2>&1
