/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/control.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json_build.h"
#include "base/json_text.h"
#include "core/request.h"
#include "supervise/control_client.h"
#include "supervise/supervisor_state.h"

#define CONTROL_REQUEST_MAX (128 * 1024)
#define CONTROL_CLIENTS_MAX 64

struct control_client {
	struct control_client *next;
	struct control *control;
	int fd;
	sd_event_source *source;
	char *request;
	size_t n;
	enum control_wait waiting;
	unsigned int n_missed; /* lines that the client has not got: it did not read */
	unsigned int up_to;    /* for CONTROL_WAIT_GONE: the number of the last worker */
	struct slots slots;    /* those that must settle */
};

struct control {
	struct supervisor *sup;
	control_handler handler;
	int fd;
	sd_event_source *source;
	struct control_client *clients;
	unsigned int n_clients;
};

/* --- answers */

static void control_free_client(struct control_client *client)
{
	struct control_client **at = &client->control->clients;

	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	client->control->n_clients--;
	sd_event_source_disable_unref(client->source);
	close(client->fd);
	free(client->request);
	free(client);
}

/* Sends one object and a newline. */
static void control_send_object(const struct control_client *client, struct json_object *object)
{
	_cleanup_free_ char *text = json_text_new(object);
	size_t n = strlen(text);

	text[n++] = '\n'; /* in place of the NUL */
	if (send(client->fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT) < (ssize_t)n)
		shutdown(client->fd, SHUT_RDWR);
	json_object_put(object);
}

static void control_send_text(const struct control_client *client, const char *line)
{
	struct json_object *object = json_build_new_object();

	json_build_text(object, "line", line);
	control_send_object(client, object);
}

/* Whether the socket has room for a line. Lines leave half of its buffer, which is much larger than
 * an answer, to the answer and to the number of missing lines. So these are never dropped, and
 * nothing ever waits for the client. */
static bool control_has_room(const struct control_client *client)
{
	int unread = 0, size = 0;
	socklen_t length = sizeof(size);

	return ioctl(client->fd, SIOCOUTQ, &unread) == 0 &&
	       getsockopt(client->fd, SOL_SOCKET, SO_SNDBUF, &size, &length) == 0 &&
	       unread < size / 2;
}

static void control_send_missed(struct control_client *client)
{
	char text[96];

	if (!client->n_missed)
		return;
	snprintf(text, sizeof(text), "%u lines are missing here: they were not read in time",
	         client->n_missed);
	client->n_missed = 0;
	control_send_text(client, text);
}

/* Sends the answer, and closes the connection. The kernel keeps what the client has not read. */
static void control_answer(struct control_client *client, int status, const char *error)
{
	struct json_object *object = json_build_new_object();

	control_send_missed(client);
	json_build_number(object, "status", status);
	if (error)
		json_build_text(object, "error", error);
	control_send_object(client, object);
	control_free_client(client);
}

void control_send_line(struct supervisor *sup, const char *line)
{
	struct control_client *c = sup->control ? sup->control->clients : NULL;

	for (; c; c = c->next) {
		if (c->waiting == CONTROL_WAIT_REQUEST)
			continue;
		if (!control_has_room(c)) {
			c->n_missed++;
			continue;
		}
		control_send_missed(c);
		control_send_text(c, line);
	}
}

void control_wait_for(struct control_client *client, enum control_wait what,
                      const struct slots *slots)
{
	client->waiting = what;
	client->up_to = client->control->sup->last_number;
	client->slots = slots ? *slots : (struct slots){};
}

void control_answer_reload(struct supervisor *sup, int status, const char *why,
                           const struct slots *added)
{
	struct control_client *next;

	for (struct control_client *c = sup->control ? sup->control->clients : NULL; c; c = next) {
		next = c->next;
		if (c->waiting != CONTROL_WAIT_RELOAD)
			continue;
		if (status != EXIT_OK) {
			control_answer(c, status, why);
			continue;
		}
		c->waiting = CONTROL_WAIT_GONE;
		c->slots = *added;
	}
	control_answer_settled(sup);
}

static bool control_have_gone(const struct supervisor *sup, unsigned int up_to)
{
	for (const struct worker *w = sup->workers; w; w = w->next)
		if (w->number <= up_to && w->state >= WORKER_HELD)
			return false;
	return true;
}

/* The client's slots have settled. */
static void control_answer_slots(struct control_client *client)
{
	const struct supervisor *sup = client->control->sup;
	char why[64] = "";

	for (size_t i = 0; i < client->slots.n; i++)
		if (sup->slots[client->slots.at[i]].run == RPD_RUN_FAILED)
			snprintf(why, sizeof(why), "slot %u has failed", client->slots.at[i]);
	control_answer(client, why[0] ? EXIT_REFUSED : EXIT_OK, why[0] ? why : NULL);
}

void control_answer_settled(struct supervisor *sup)
{
	struct control_client *next;

	for (struct control_client *c = sup->control ? sup->control->clients : NULL; c; c = next) {
		next = c->next;
		if ((c->waiting == CONTROL_WAIT_SETTLED ||
		     (c->waiting == CONTROL_WAIT_GONE && control_have_gone(sup, c->up_to))) &&
		    supervisor_state_are_settled(sup, &c->slots))
			control_answer_slots(c);
	}
}

/* --- connections */

/* @n: the length of the request, without its end of line. */
static void control_take_request(struct control_client *client, size_t n)
{
	struct supervisor *sup = client->control->sup;
	_cleanup_request_ struct request request = {};
	struct error err = {};
	int r = request_parse(client->request, n, &request, &err);

	if (r == 0)
		r = client->control->handler(sup, client, &request, &err);
	if (r < 0)
		control_answer(client, err.status, err.text);
	else
		control_answer_settled(sup);
}

static int control_on_client(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct control_client *client = data;
	char *at = client->request + client->n, *end;
	ssize_t n = recv(fd, at, CONTROL_REQUEST_MAX - client->n, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0) {
		control_free_client(client); /* the client is gone; its request goes on */
		return 0;
	}
	if (client->waiting != CONTROL_WAIT_REQUEST)
		return 0;
	client->n += n;
	end = memchr(at, '\n', n);
	if (end) {
		client->n = 0; /* for what comes after the request, which is ignored */
		control_take_request(client, end - client->request);
	} else if (client->n == CONTROL_REQUEST_MAX) {
		control_answer(client, EXIT_USAGE, "the request is longer than 128 KiB");
	}
	return 0;
}

static bool control_may_ask(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static int control_on_connection(sd_event_source *source, int listener, uint32_t events, void *data)
{
	struct control *control = data;
	_cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct control_client *client;

	if (fd < 0 || !control_may_ask(fd) || control->n_clients >= CONTROL_CLIENTS_MAX)
		return 0;
	client = calloc(1, sizeof(*client));
	if (!client)
		return 0;
	client->request = malloc(CONTROL_REQUEST_MAX);
	if (!client->request || sd_event_add_io(control->sup->loop, &client->source, fd, EPOLLIN,
	                                        control_on_client, client) < 0) {
		free(client->request);
		free(client);
		return 0;
	}
	client->fd = TAKE_FD(fd);
	client->control = control;
	client->next = control->clients;
	control->clients = client;
	control->n_clients++;
	return 0;
}

int control_listen(struct control *control, struct error *err)
{
	struct sockaddr_un address;
	mode_t mask;
	int r = 0;

	control->source = sd_event_source_disable_unref(control->source);
	cleanup_close(&control->fd);
	control_client_address(control->sup->name, &address);
	unlink(address.sun_path); /* left by a supervisor that was killed; there is one at a time */
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mask = umask(0177);
	if (control->fd < 0 ||
	    bind(control->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(control->fd, SOMAXCONN) < 0)
		r = -errno;
	umask(mask);
	if (r == 0)
		r = sd_event_add_io(control->sup->loop, &control->source, control->fd, EPOLLIN,
		                    control_on_connection, control);
	return r < 0 ? error_set(err, r, "can't listen on %s: %s", address.sun_path, strerror(-r))
	             : 0;
}

int control_new(struct supervisor *sup, control_handler handler, struct control **ret,
                struct error *err)
{
	struct control *control = calloc(1, sizeof(*control));
	int r;

	if (!control)
		return error_set(err, -ENOMEM, "out of memory");
	control->sup = sup;
	control->handler = handler;
	control->fd = -1;
	r = control_listen(control, err);
	if (r < 0)
		control_free(control, EXIT_REFUSED, NULL);
	else
		*ret = control;
	return r;
}

void control_close(struct control *control)
{
	struct sockaddr_un address;

	control_client_address(control->sup->name, &address);
	unlink(address.sun_path);
	control->source = sd_event_source_disable_unref(control->source);
	cleanup_close(&control->fd);
	control->fd = -1;
}

void control_free(struct control *control, int status, const char *left)
{
	if (!control)
		return;
	while (control->clients)
		if (control->clients->waiting == CONTROL_WAIT_END)
			control_answer(control->clients, left ? EXIT_REFUSED : EXIT_OK, left);
		else if (control->clients->waiting != CONTROL_WAIT_REQUEST)
			control_answer(control->clients, status ? status : EXIT_REFUSED,
			               "the service was stopped");
		else
			control_free_client(control->clients);
	sd_event_source_disable_unref(control->source);
	cleanup_close(&control->fd);
	free(control);
}
