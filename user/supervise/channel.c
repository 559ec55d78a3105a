/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/node_message.h"
#include "kern/peer_message.h"
#include "kern/proc.h"
#include "supervise/priority.h"
#include "supervise/share.h"

#define CHANNEL_LINE_MAX 65536
#define CHANNEL_SEND_MAX 256 /* with its quotes and the end of line */
#define CHANNEL_READ     16384
#define CHANNEL_REST_MAX (1u << 20) /* more than a socket's buffer has */
#define CHANNEL_PERCENT  5          /* of the loop's time, for one worker */

/* Our end is bound to this name in the abstract namespace, with a random number, so that no other
 * process can have the name, and SLOT-NUMBER. It does not listen, so no process can connect to it.
 */
#define CHANNEL_NAME "reuseportd-channel-"

struct channel {
	int fd;
	struct share share;
	channel_message message;
	void *data;
	char *line; /* the incomplete last line */
	size_t n;
	bool too_long; /* the rest of the line is skipped */
	bool *freed;   /* set if message() frees the channel */
};

/* Handles a complete line. May free the channel. */
static void channel_take_line(struct channel *channel)
{
	_cleanup_free_ char *line = TAKE_PTR(channel->line);
	_cleanup_free_ char *text =
	        line && !channel->too_long ? node_message_text(line, channel->n) : NULL;

	channel->n = 0;
	channel->too_long = false;
	if (text)
		channel->message(text, channel->data);
}

static void channel_add_to_line(struct channel *channel, const char *text, size_t n)
{
	char *line = NULL;

	if (!n || channel->too_long)
		return;
	if (channel->n + n <= CHANNEL_LINE_MAX)
		line = realloc(channel->line, channel->n + n);
	if (!line) {
		channel->too_long = true;
		free(TAKE_PTR(channel->line));
		return;
	}
	memcpy(line + channel->n, text, n);
	channel->line = line;
	channel->n += n;
}

/* The caller has set channel->freed. */
static void channel_take_text(struct channel *channel, const char *text, size_t n)
{
	const bool *freed = channel->freed;
	const char *end;

	while ((end = memchr(text, '\n', n))) {
		channel_add_to_line(channel, text, end - text);
		channel_take_line(channel);
		if (*freed)
			return;
		n -= end + 1 - text;
		text = end + 1;
	}
	channel_add_to_line(channel, text, n);
}

/* Reads once. Returns whether there may be more. May free the channel. */
static bool channel_read(struct channel *channel)
{
	char text[CHANNEL_READ];
	size_t n = 0;
	int r = peer_message_receive(channel->fd, text, sizeof(text), &n, NULL);

	if (r == PEER_MESSAGE_NONE || r == PEER_MESSAGE_STUCK)
		return false;
	if (n)
		channel_take_text(channel, text, n);
	else
		share_set(&channel->share, false);
	return n > 0;
}

/* The same. @ret_more: whether there may be more. Returns false if the channel was freed. */
static bool channel_read_safely(struct channel *channel, bool *ret_more)
{
	bool freed = false;

	channel->freed = &freed;
	*ret_more = channel_read(channel);
	if (freed)
		return false;
	channel->freed = NULL;
	return true;
}

static int channel_on_input(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct channel *channel = data;
	bool more;

	share_begin(&channel->share);
	if (channel_read_safely(channel, &more))
		share_end(&channel->share);
	return 0;
}

void channel_read_rest(struct channel *channel)
{
	bool more = true;

	for (size_t n = 0; more && n < CHANNEL_REST_MAX / CHANNEL_READ; n++)
		if (!channel_read_safely(channel, &more))
			return;
}

int channel_open(sd_event *loop, int fd, channel_message message, void *data, struct channel **ret,
                 struct error *err)
{
	struct channel *channel = calloc(1, sizeof(*channel));
	sd_event_source *source = NULL;
	int r;

	if (!channel) {
		close(fd);
		return error_set(err, -ENOMEM, "out of memory");
	}
	channel->fd = fd;
	channel->message = message;
	channel->data = data;
	r = sd_event_add_io(loop, &source, fd, EPOLLIN, channel_on_input, channel);
	if (r >= 0)
		r = sd_event_source_set_priority(source, PRIORITY_UNTRUSTED);
	if (r < 0) {
		sd_event_source_disable_unref(source);
		channel_free(channel);
		return error_set(err, r, "can't watch a worker's channel: %s", strerror(-r));
	}
	share_init(&channel->share, source, CHANNEL_PERCENT);
	*ret = channel;
	return 0;
}

static int channel_give_name(int fd, unsigned int slot, unsigned int number)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	uint64_t any;
	int n;

	if (getrandom(&any, sizeof(any), 0) != sizeof(any))
		return -errno;
	n = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
	             CHANNEL_NAME "%016" PRIx64 "-%u-%u", any, slot, number);
	return bind(fd, (struct sockaddr *)&address,
	            offsetof(struct sockaddr_un, sun_path) + 1 + n) < 0
	               ? -errno
	               : 0;
}

int channel_new(sd_event *loop, unsigned int slot, unsigned int number, channel_message message,
                void *data, struct channel **ret, int *ret_worker_fd, struct error *err)
{
	_cleanup_close_ int own = -1;
	_cleanup_close_ int worker = -1;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, -errno, "can't create a worker's channel: %s",
		                 strerror(errno));
	own = pair[0];
	worker = pair[1];
	peer_message_refuse_files(own);
	peer_message_take_urgent(own);
	r = channel_give_name(own, slot, number);
	if (r < 0)
		return error_set(err, r, "can't create a worker's channel: %s", strerror(-r));
	r = channel_open(loop, TAKE_FD(own), message, data, ret, err);
	if (r == 0)
		*ret_worker_fd = TAKE_FD(worker);
	return r;
}

static bool channel_read_name(int fd, unsigned int *ret_slot, unsigned int *ret_number)
{
	struct sockaddr_un address = {};
	socklen_t size = sizeof(address) - 1; /* for a final NUL */

	return getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
	       address.sun_family == AF_UNIX && !address.sun_path[0] &&
	       sscanf(address.sun_path + 1, CHANNEL_NAME "%*16[0-9a-f]-%u-%u", ret_slot,
	              ret_number) == 2;
}

struct channel_search {
	uint32_t pid;
	channel_found found;
	void *data;
};

static void channel_on_socket(int fd, uint32_t inode, void *data)
{
	const struct channel_search *search = data;
	unsigned int slot, number;
	struct error ignored;
	_cleanup_close_ int own = proc_duplicate_fd(search->pid, fd, inode, &ignored);

	if (own >= 0 && channel_read_name(own, &slot, &number))
		search->found(slot, number, TAKE_FD(own), search->data);
}

void channel_list(uint32_t pid, channel_found found, void *data)
{
	struct channel_search search = {pid, found, data};

	proc_list_sockets(pid, channel_on_socket, &search);
}

int channel_fd(const struct channel *channel)
{
	return channel->fd;
}

int channel_send(struct channel *channel, const char *text)
{
	struct json_object *value = json_object_new_string(text);
	char line[CHANNEL_SEND_MAX];
	int n;

	if (!value)
		return -ENOMEM;
	n = snprintf(line, sizeof(line), "%s\n",
	             json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN));
	json_object_put(value);
	if (n >= (int)sizeof(line))
		return -EMSGSIZE;
	/* A message this short is sent whole or not at all. */
	return send(channel->fd, line, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

void channel_free(struct channel *channel)
{
	if (!channel)
		return;
	if (channel->freed)
		*channel->freed = true;
	share_deinit(&channel->share);
	close(channel->fd);
	free(channel->line);
	free(channel);
}
