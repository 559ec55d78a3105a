/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/netns.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "kern/sockdiag.h"

int netns_here(uint64_t *ret_cookie, uint64_t *ret_ino, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;
	uint64_t cookie;
	int r = fd < 0 ? -errno : sockdiag_netns_cookie(fd, &cookie);

	if (r == 0 && stat("/proc/thread-self/ns/net", &st) < 0)
		r = -errno;
	if (r < 0)
		return error_set(err, r, "can't tell this network namespace: %s", strerror(-r));
	*ret_cookie = cookie;
	*ret_ino = st.st_ino;
	return 0;
}
