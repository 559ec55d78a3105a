/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "kern/sockdiag.h"

#define NETNS_OURS "/proc/thread-self/ns/net"

int netns_identify(uint64_t *ret_cookie, uint64_t *ret_ino, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;
	uint64_t cookie;
	int r = fd < 0 ? -errno : sockdiag_netns_cookie(fd, &cookie);

	if (r == 0 && stat(NETNS_OURS, &st) < 0)
		r = -errno;
	if (r < 0)
		return error_set(err, r, "can't identify this network namespace: %s", strerror(-r));
	*ret_cookie = cookie;
	*ret_ino = st.st_ino;
	return 0;
}

int netns_find_inode(uint32_t pid, uint64_t *ret_ino)
{
	char path[sizeof("/proc/4294967295/ns/net")];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	if (stat(pid ? path : NETNS_OURS, &st) < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	*ret_ino = st.st_ino;
	return 0;
}

int netns_open_current(int *ret_fd, struct error *err)
{
	int fd = open(NETNS_OURS, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_set(err, -errno, "can't open this network namespace: %s",
		                 strerror(errno));
	*ret_fd = fd;
	return 0;
}

int netns_return(int fd, struct error *err)
{
	struct stat here, there;

	if (stat(NETNS_OURS, &here) == 0 && fstat(fd, &there) == 0 && here.st_ino == there.st_ino)
		return 0;
	if (setns(fd, CLONE_NEWNET) < 0)
		return error_set(err, -errno, "can't return to our network namespace: %s",
		                 strerror(errno));
	return 0;
}
