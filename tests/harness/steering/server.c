/* SPDX-License-Identifier: BSD-2-Clause */
#include "steering/server.h"

#include <sys/socket.h>
#include <unistd.h>

#include "steering/socket_address.h"

int server_accept(struct bed *bed, unsigned int listener)
{
	struct bed_listener *it = &bed->listeners[listener];
	union socket_address client;
	socklen_t length = sizeof(client);
	const int fd = accept4(it->fd, &client.sa, &length, SOCK_CLOEXEC);

	if (fd < 0)
		return -1;
	it->taken++;
	if (it->newest < socket_address_mark(&client)) /* one thread accepts from it */
		it->newest = socket_address_mark(&client);
	return fd;
}

int server_accept_any(struct bed *bed, unsigned int first)
{
	int fd = -1;

	for (unsigned int i = first; fd < 0 && i < bed->n_listeners; i++)
		fd = server_accept(bed, i);
	return fd;
}

static unsigned int server_accept_all(struct bed *bed)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < bed->n_listeners; i++)
		for (int fd; (fd = server_accept(bed, i)) >= 0; n++)
			close(fd);
	return n;
}

/* Not by epoll: some kernels wake no process for a migrated connection (CVE-2026-46015). */
void server_collect(struct bed *bed, unsigned int n)
{
	unsigned int seen = 0;

	CHECK_MSG(check_until((seen += server_accept_all(bed)) >= n), "%u connections came, not %u",
	          seen, n);
	CHECK_EQ(seen, n);
}

unsigned int server_taken(const struct bed *bed, unsigned int listener)
{
	return bed->listeners[listener].taken;
}
