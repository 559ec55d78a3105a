/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/proc: descriptors borrowed from other processes, and their network namespaces. Needs root.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/children.h"
#include "beds/socket_bed.h"
#include "check/check.h"
#include "core/roster.h"
#include "kern/proc.h"
#include "kern/sockdiag.h"

static void borrowed_descriptor(void)
{
	struct rpd_endpoint e = socket_bed_loopback();
	const int fd = socket_bed_listen(&e, 1);
	const uint32_t pid = children_start(children_hold, fd);
	_cleanup_close_ int dup_fd = -1;
	_cleanup_close_ int any_fd = -1;
	uint64_t cookie, dup_cookie;
	struct error err;
	char name[16];

	dup_fd = proc_duplicate_fd(pid, fd, socket_bed_inode(fd), &err);
	CHECK(dup_fd >= 0 && fcntl(dup_fd, F_GETFD) == FD_CLOEXEC);
	CHECK(sockdiag_socket_cookie(fd, &cookie) == 0 &&
	      sockdiag_socket_cookie(dup_fd, &dup_cookie) == 0);
	CHECK(cookie == dup_cookie);
	any_fd = proc_duplicate_fd(pid, fd, 0, &err);
	CHECK(any_fd >= 0);
	CHECK(proc_duplicate_fd(pid, STDIN_FILENO, 0, &err) == -EBADF);

	snprintf(name, sizeof(name), "%u", pid);
	CHECK(proc_duplicate_fd(pid, fd, socket_bed_inode(fd) + 1, &err) == -EBADF &&
	      strstr(err.text, name));
	CHECK(proc_duplicate_fd(pid, 9999, 0, &err) == -EBADF && strstr(err.text, "9999"));
}

/* The owner has made a connection of its listener, with data that its peer does not read. */
static void listener_that_lingers(void)
{
	const int64_t begin = deadline_clock_ms();
	int fd = socket_bed_connect_lingering(600);

	socket_bed_n--; /* closed here */
	proc_close_listener(&fd);
	CHECK(deadline_clock_ms() - begin < 300000);
}

/* A process that may not trace those of root. */
static void run_borrow_without_right(int fd)
{
	struct error err;

	if (setuid(65534) < 0)
		return;
	shared->error = proc_duplicate_fd((uint32_t)shared->pids[0], fd, 0, &err);
	memcpy(shared->text, err.text, sizeof(err.text));
}

static void borrow_without_capability(void)
{
	struct rpd_endpoint e = socket_bed_loopback();
	const int fd = socket_bed_listen(&e, 1);
	char name[16];

	shared->pids[0] = (pid_t)children_start(children_hold, fd);
	snprintf(name, sizeof(name), "%d", shared->pids[0]);
	children_start(run_borrow_without_right, fd);
	CHECK_UNTIL(shared->text[0]);
	CHECK(shared->error == -EPERM);
	CHECK(strstr(shared->text, "CAP_SYS_PTRACE") && strstr(shared->text, name));
}

/* Listens in a network namespace of its own. */
static void run_elsewhere(int fd)
{
	struct rpd_endpoint e = {.family = AF_INET};

	if (unshare(CLONE_NEWNET) < 0)
		return;
	shared->fd = socket_bed_listen(&e, 1);
	children_hold(fd);
}

static void other_network_namespace(void)
{
	_cleanup_close_ int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct rpd_endpoint e = socket_bed_loopback();
	const int fd = socket_bed_listen(&e, 1);
	_cleanup_free_ struct listener *rows = NULL;
	_cleanup_close_ int dup_fd = -1;
	uint64_t here, there;
	uint32_t pid, found;
	struct error err;
	char path[64];
	struct stat st;
	size_t n = 0;

	pid = children_start(run_elsewhere, -1);
	CHECK_UNTIL(shared->fd > 0);
	snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	CHECK(stat(path, &st) == 0);
	CHECK(proc_find_netns(st.st_ino, &found) == 0 && found == pid);
	CHECK(proc_find_netns(1, &found) == -ENOENT);

	dup_fd = proc_duplicate_fd(pid, shared->fd, 0, &err);
	CHECK(dup_fd >= 0);
	CHECK(sockdiag_netns_cookie(fd, &here) == 0);
	CHECK(sockdiag_netns_cookie(dup_fd, &there) == 0 && here != there);

	CHECK(proc_enter_netns(pid, &err) == 0);
	n = sockdiag_list_listeners(0, &rows, &n, &err) == 0 ? n : 0;
	CHECK(setns(home, CLONE_NEWNET) == 0);
	CHECK(n == 1 && rows[0].inode == socket_bed_inode(dup_fd));
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(borrowed_descriptor),
	        CHECK_CASE(listener_that_lingers),
	        CHECK_CASE(borrow_without_capability),
	        CHECK_CASE(other_network_namespace),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
