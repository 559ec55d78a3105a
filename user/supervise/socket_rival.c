/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Workers share a TCP port, but not a Unix socket. What a worker that has ended wanted is only
 * known from what it has printed; which sockets the others have is known from their descriptors.
 */
#include "supervise/socket_rival.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/cgroup.h"
#include "kern/held_child.h"
#include "kern/proc.h"

/* Limits of the search. A program opens such a socket early, so its descriptor has a low number. */
#define PROCESSES_MAX   64
#define DESCRIPTORS_MAX 256 /* of each process */
#define HELD_MAX        16  /* children that wait for locks of sockets */
#define NAME_SIZE       (sizeof("Unix socket ") + sizeof(((struct sockaddr_un *)0)->sun_path) + 1)
/* From here on the kernel chooses ports for sockets that need any. */
#define PORT_EPHEMERAL 32768

struct search {
	const char *printed; /* by the worker that has failed */
	struct {
		uint32_t pid;
		unsigned int slot;
	} processes[PROCESSES_MAX];
	size_t n_processes;
	/* By the child: */
	size_t at;         /* the process that it examines */
	uint32_t pid;      /* of that process */
	bool found, named; /* named: what was printed has the address, too */
	size_t found_at;
	char name[NAME_SIZE];
};

/* Whether the text has the address, and not as a part of a longer one. */
static bool socket_rival_has_address(const char *text, const char *address)
{
	const size_t n = strlen(address);
	const char *at = text;

	for (; (at = strstr(at, address)); at += n)
		if (!isalnum((unsigned char)at[n]) &&
		    (at == text || !isalnum((unsigned char)at[-1])))
			return true;
	return false;
}

/* @likely: the socket may be the cause even if what was printed does not have its address. */
static void socket_rival_consider(struct search *search, const char *kind, const char *address,
                                  bool likely)
{
	const bool named = socket_rival_has_address(search->printed, address);

	if (search->named || (!named && (search->found || !likely)))
		return;
	search->found = true;
	search->named = named;
	search->found_at = search->at;
	snprintf(search->name, sizeof(search->name), "%s %s", kind, address);
}

/* A socket with a path. An abstract one begins with NUL, and programs print it as @. */
static void socket_rival_consider_unix(struct search *search, const struct sockaddr_un *address,
                                       socklen_t size)
{
	const size_t n = size - offsetof(struct sockaddr_un, sun_path);
	char path[sizeof(address->sun_path) + 1] = "";

	if (size <= offsetof(struct sockaddr_un, sun_path) || n > sizeof(address->sun_path))
		return;
	memcpy(path, address->sun_path, n);
	if (!path[0])
		path[0] = '@';
	socket_rival_consider(search, "Unix socket", path, true);
}

static void socket_rival_consider_udp(struct search *search, uint16_t port)
{
	char text[sizeof("65535")];

	snprintf(text, sizeof(text), "%u", port);
	socket_rival_consider(search, "UDP port", text, port < PORT_EPHEMERAL);
}

static bool socket_rival_option(int fd, int option)
{
	int value = 0;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 && value;
}

static bool socket_rival_is_datagram(int fd)
{
	int type = 0;
	socklen_t size = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM;
}

static void socket_rival_on_socket(int number, uint32_t inode, void *data)
{
	struct search *search = data;
	struct sockaddr_storage address = {}, peer;
	socklen_t size = sizeof(address), peer_size = sizeof(peer);
	_cleanup_close_ int fd = -1;

	if (search->named)
		return;
	fd = proc_take_fd(search->pid, number, inode);
	if (fd < 0 || getsockname(fd, (struct sockaddr *)&address, &size) < 0 ||
	    getpeername(fd, (struct sockaddr *)&peer, &peer_size) == 0)
		return;
	if (address.ss_family == AF_UNIX &&
	    (socket_rival_option(fd, SO_ACCEPTCONN) || socket_rival_is_datagram(fd)))
		socket_rival_consider_unix(search, (struct sockaddr_un *)&address, size);
	else if (address.ss_family == AF_INET && socket_rival_is_datagram(fd))
		socket_rival_consider_udp(search,
		                          ntohs(((struct sockaddr_in *)&address)->sin_port));
	else if (address.ss_family == AF_INET6 && socket_rival_is_datagram(fd))
		socket_rival_consider_udp(search,
		                          ntohs(((struct sockaddr_in6 *)&address)->sin6_port));
}

static void socket_rival_run(void *data)
{
	struct search *search = data;

	for (; search->at < search->n_processes && !search->named; search->at++) {
		search->pid = search->processes[search->at].pid;
		proc_list_first_sockets(search->pid, DESCRIPTORS_MAX, socket_rival_on_socket,
		                        search);
	}
}

static void socket_rival_add_processes(const struct worker *w, struct search *search)
{
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n = 0;

	cgroup_list_processes(w->cgroup_fd, &pids, &n);
	for (size_t i = 0; i < n && search->n_processes < PROCESSES_MAX; i++) {
		search->processes[search->n_processes].pid = pids[i];
		search->processes[search->n_processes++].slot = w->slot;
	}
}

/* As strerror(3), Node and the number of the error have it. */
static bool socket_rival_is_address_in_use(const char *printed)
{
	return strcasestr(printed, "address already in use") || strstr(printed, "EADDRINUSE") ||
	       strcasestr(printed, "errno 98");
}

/* A child examines the sockets: the kernel asks for the lock of some of them. What it has found
 * when a process keeps it waiting is enough. */
void socket_rival_note(struct worker *w, const char *printed)
{
	const size_t used = strlen(w->why);
	struct search search = {.printed = printed};
	const struct held_child_call call = {
	        .run = socket_rival_run, .keep = {-1, -1}, .max = HELD_MAX, .pid = &search.pid};

	if (!socket_rival_is_address_in_use(printed))
		return;
	for (const struct worker *other = w->sup->workers; other; other = other->next)
		if (other != w)
			socket_rival_add_processes(other, &search);
	held_child_run(&call, &search, sizeof(search));
	if (search.found)
		snprintf(w->why + used, sizeof(w->why) - used,
		         "; %spid %u in slot %u has the %s open, which workers can't share: give "
		         "each worker one of its own (with $REUSEPORTD_SLOT in its name, for "
		         "example), or run one worker, with --in-place",
		         search.named ? "" : "perhaps because ",
		         search.processes[search.found_at].pid,
		         search.processes[search.found_at].slot, search.name);
}
