/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/proc.h"

#define CHANNEL_LINE_MAX (1u << 20)
#define CHANNEL_READ     65536

struct channel {
	int fd;
	sd_event_source *source;
	channel_message message;
	void *data;
	char *line; /* the one that isn't complete */
	size_t n;
	bool too_long; /* the rest of it is passed over */
};

/* The text of a message that is for us: a string, or what PM2's own libraries send. */
static const char *text_of(struct json_object *value)
{
	struct json_object *type, *data;

	if (json_object_is_type(value, json_type_string))
		return json_object_get_string(value);
	if (!json_object_is_type(value, json_type_object) ||
	    !json_object_object_get_ex(value, "type", &type) ||
	    !json_object_is_type(type, json_type_string))
		return NULL;
	if (strcmp(json_object_get_string(type), "process:msg") != 0)
		return json_object_get_string(type);
	json_object_object_get_ex(value, "data", &data);
	return json_object_is_type(data, json_type_string) ? json_object_get_string(data) : NULL;
}

/* Anything else is not for us: Node's own messages, and what a program tells a parent that it
 * doesn't have. */
static void take_line(struct channel *channel, const char *line)
{
	struct json_object *value = json_tokener_parse(line);
	const char *text = text_of(value);

	if (text)
		channel->message(text, channel->data);
	json_object_put(value);
}

/* Takes the whole lines of @text, and keeps what is behind them. Whoever is told of a line may free
 * nothing of ours: a worker outlives its messages. */
static void take_text(struct channel *channel, char *text, size_t n)
{
	char *end;

	for (; n && (end = memchr(text, '\n', n)); n -= end + 1 - text, text = end + 1) {
		char *line =
		        channel->n ? realloc(channel->line, channel->n + (end - text) + 1) : NULL;

		*end = '\0';
		if (channel->too_long) {
			channel->too_long = false;
		} else if (!channel->n) {
			take_line(channel, text);
		} else if (line) {
			memcpy(line + channel->n, text, end - text + 1);
			channel->line = line;
			take_line(channel, line);
		}
		channel->n = 0;
	}
	if (!n || channel->too_long)
		return;
	end = channel->n + n <= CHANNEL_LINE_MAX ? realloc(channel->line, channel->n + n) : NULL;
	channel->too_long = !end;
	if (!end) {
		channel->n = 0;
		return;
	}
	channel->line = end;
	memcpy(channel->line + channel->n, text, n);
	channel->n += n;
}

static int on_input(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct channel *channel = data;
	char text[CHANNEL_READ];
	ssize_t n = read(fd, text, sizeof(text));

	(void)events;
	if (n > 0)
		take_text(channel, text, n);
	else if (n == 0 || errno != EAGAIN)
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

static int channel_open(sd_event *loop, int fd, channel_message message, void *data,
                        struct channel **ret, struct error *err)
{
	struct channel *channel = calloc(1, sizeof(*channel));
	int r;

	if (!channel) {
		close(fd);
		return error_set(err, -ENOMEM, "out of memory");
	}
	channel->fd = fd;
	channel->message = message;
	channel->data = data;
	r = sd_event_add_io(loop, &channel->source, fd, EPOLLIN, on_input, channel);
	if (r < 0) {
		channel_free(channel);
		return error_set(err, r, "can't watch a worker's channel: %s", strerror(-r));
	}
	*ret = channel;
	return 0;
}

int channel_new(sd_event *loop, channel_message message, void *data, struct channel **ret,
                int *ret_worker_fd, struct error *err)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, -errno, "can't make a worker's channel: %s", strerror(errno));
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	r = channel_open(loop, pair[0], message, data, ret, err);
	if (r < 0)
		close(pair[1]);
	else
		*ret_worker_fd = pair[1];
	return r;
}

int channel_adopt(sd_event *loop, uint32_t pid, int fd, channel_message message, void *data,
                  struct channel **ret, struct error *err)
{
	int own = proc_borrow_fd(pid, fd, 0, err);
	int domain = 0;

	if (own < 0)
		return own;
	getsockopt(own, SOL_SOCKET, SO_DOMAIN, &domain, &(socklen_t){sizeof(domain)});
	if (domain != AF_UNIX) {
		close(own);
		return error_set(err, -EBADF, "descriptor %d of pid %u is not its channel", fd,
		                 pid);
	}
	return channel_open(loop, own, message, data, ret, err);
}

int channel_fd(const struct channel *channel)
{
	return channel->fd;
}

int channel_send(struct channel *channel, const char *text)
{
	struct json_object *value = json_object_new_string(text);
	char line[256];
	int n = snprintf(line, sizeof(line), "%s\n",
	                 json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN));

	json_object_put(value);
	if (n >= (int)sizeof(line))
		return -EMSGSIZE;
	return send(channel->fd, line, n, MSG_NOSIGNAL | MSG_DONTWAIT) == n ? 0 : -errno;
}

void channel_free(struct channel *channel)
{
	if (!channel)
		return;
	sd_event_source_disable_unref(channel->source);
	close(channel->fd);
	free(channel->line);
	free(channel);
}
