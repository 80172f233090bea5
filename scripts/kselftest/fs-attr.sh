#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Permissions, owners, times, statfs; through a remount.
. ./lib.sh
plan 29

chmod 755 /                                      # other users have to come in
check "a fresh file system is mounted" fresh
cd /mnt || exit 1
chmod 755 .

umask 022
touch plain; mkdir plaindir
same "the umask applies" "644 755" "$(stat -c %a plain) $(stat -c %a plaindir)"
check "chmod" chmod 4751 plain
same "its bits" 4751 "$(stat -c %a plain)"
check "chown" chown 1000:2000 plain
same "the owner; set-user-id is gone" "1000 2000 751" "$(stat -c '%u %g %a' plain)"

echo secret >secret; chmod 600 secret
same "another user cannot read it" EACCES "$(fsop as 1000 1000 fsop errno open /mnt/secret)"
same "nor make files here" EACCES "$(fsop as 1000 1000 fsop errno creat /mnt/new)"
same "nor change the mode of what is not his" EPERM "$(fsop as 1000 1000 fsop errno chmod /mnt/secret 777)"
same "nor give away what is his" EPERM "$(fsop as 1000 2000 fsop errno chown /mnt/plain 0 0)"
mkdir shared; chmod 1777 shared; touch shared/root
same "the sticky bit protects" EPERM "$(fsop as 1000 1000 fsop errno unlink /mnt/shared/root)"
check "he makes his own there" fsop as 1000 1000 touch /mnt/shared/his
same "it is his" "1000 1000" "$(stat -c '%u %g' shared/his)"
mkdir group; chown 0:3000 group; chmod 2777 group
mkdir group/sub; touch group/file
same "set-group-id is inherited" "3000 3000 2755" "$(stat -c %g group/file) $(stat -c '%g %a' group/sub)"
chmod 6777 group/file; chown 1000:1000 group/file; chmod 6777 group/file
check "a write by another" fsop as 2000 2000 sh -c 'echo x >>/mnt/group/file'
same "takes set-user-id and set-group-id away" 777 "$(stat -c %a group/file)"

check "times are set to the nanosecond" fsop settimes plain 1000000001.123456789 2000000002.987654321
same "atime and mtime" "1000000001.123456789 2000000002.987654321" "$(fsop times plain | cut -d' ' -f1,2)"
check "times before 1970 and after 2038" fsop settimes secret -1000000000.5 5000000000.000000001
same "as well" "-1000000000.000000005 5000000000.000000001" "$(fsop times secret | cut -d' ' -f1,2)"
fsop times plaindir >/tmp/t1; sleep 0.05; touch plaindir/x; fsop times plaindir >/tmp/t2
same "a new name changes the directory's mtime and ctime, not its birth" "1 1 0" \
	"$(paste -d' ' /tmp/t1 /tmp/t2 | awk '{print ($2!=$6), ($3!=$7), ($4!=$8)}')"
fsop times plain >/tmp/t1; sleep 0.05; chmod 640 plain; fsop times plain >/tmp/t2
same "chmod changes ctime alone" "0 0 1" "$(paste -d' ' /tmp/t1 /tmp/t2 | awk '{print ($1!=$5), ($2!=$6), ($3!=$7)}')"
fsop times secret >/tmp/t1; sleep 0.05; echo more >>secret; fsop times secret >/tmp/t2
same "a write changes mtime and ctime" "1 1" "$(paste -d' ' /tmp/t1 /tmp/t2 | awk '{print ($2!=$6), ($3!=$7)}')"

id=$(fsop fsid /mnt)
check "statfs has an id" [ -n "$id" ]
free=$(stat -f -c %f /mnt)
dd if=/dev/zero of=eight bs=1M count=8 2>/dev/null
cost=$((free - $(stat -f -c %f /mnt)))
check "8 MiB cost 2048 blocks and little more" test "$cost" -ge 2048 -a "$cost" -lt 2060

cd /
list() { (cd /mnt && stat -c '%n %a %u %g %X %Y %Z %s' plain secret shared shared/his group group/sub group/file && fsop times plain && fsop times secret); }
before=$(list)
check "unmount and mount" again
same "all attributes are as before" "$before" "$(list)"
same "and the id" "$id" "$(fsop fsid /mnt)"
check "unmount" umount /mnt
done_testing
