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
#include "base/memory.h"
#include "core/request.h"
#include "kern/file_limit.h"
#include "supervise/control_client.h"
#include "supervise/control_peer.h"
#include "supervise/due.h"
#include "supervise/priority.h"
#include "supervise/supervisor_state.h"

#define CONTROL_REQUEST_MAX (128 * 1024)
#define CONTROL_CLIENTS_MAX 64
#define CONTROL_REQUEST_US  5000000 /* how long a client may take to send its request */
#define CONTROL_AGAIN_US    100000  /* until the next try, if a connection can't be accepted */

struct control_client {
	struct control_client *next;
	struct control *control;
	int fd;
	pid_t pid; /* of the process that has connected */
	sd_event_source *source;
	sd_event_source *timer; /* until its request has come */
	char *text;
	size_t n;
	bool is_complete;         /* the request has come, and is carried out ... */
	sd_event_source *on_turn; /* ... in the service's turn */
	struct request request;
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
	sd_event_source *again;         /* the socket is watched again then */
	struct control_client *clients; /* the newest one first */
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
	sd_event_source_disable_unref(client->timer);
	sd_event_source_disable_unref(client->on_turn);
	request_free(&client->request);
	close(client->fd);
	free(client->text);
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
	snprintf(text, sizeof(text), "%u line%s missing here: the command did not read in time",
	         client->n_missed, client->n_missed == 1 ? " is" : "s are");
	client->n_missed = 0;
	control_send_text(client, text);
}

/* Sends the answer, and closes the connection. The kernel keeps what the client has not read.
 * @deployment: belongs to the caller, or NULL. */
static void control_answer_with(struct control_client *client, int status, const char *error,
                                struct json_object *deployment)
{
	struct json_object *object = json_build_new_object();

	control_send_missed(client);
	json_build_number(object, "status", status);
	if (error)
		json_build_text(object, "error", error);
	if (deployment)
		json_build_value(object, "deployment", json_object_get(deployment));
	control_send_object(client, object);
	control_free_client(client);
}

static void control_answer(struct control_client *client, int status, const char *error)
{
	control_answer_with(client, status, error, NULL);
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
		if (c->waiting == CONTROL_WAIT_QUEUED) {
			control_wait_for(c, CONTROL_WAIT_RELOAD, NULL);
			continue;
		}
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

void control_answer_deployment(struct supervisor *sup, enum control_wait what, int status,
                               const char *why, struct json_object *deployment)
{
	struct control_client *next;

	for (struct control_client *c = sup->control ? sup->control->clients : NULL; c; c = next) {
		next = c->next;
		if (c->waiting == what)
			control_answer_with(c, status, why, deployment);
	}
}

static bool control_have_gone(const struct supervisor *sup, unsigned int up_to)
{
	for (const struct worker *w = sup->workers; w; w = w->next)
		if (w->number <= up_to && w->state > WORKER_HELD)
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

static int control_on_turn(sd_event_source *source, void *data)
{
	struct control_client *client = data;
	struct supervisor *sup = client->control->sup;
	struct error err = {};

	if (client->control->handler(sup, client, &client->request, &err) < 0)
		control_answer(client, err.status, err.text);
	else
		control_answer_settled(sup);
	return 0;
}

/* Whether the request is to stop the whole service. That does not wait for the service's lock. */
static bool control_is_stop(const struct request *request)
{
	return request->kind == REQUEST_STOP && !(request->fields & REQUEST_SLOTS);
}

/* @n: the length of the request, without its end of line. May free the client. */
static void control_take_request(struct control_client *client, size_t n)
{
	struct supervisor *sup = client->control->sup;
	struct error err = {};

	client->is_complete = true;
	if (request_parse(client->text, n, &client->request, &err) < 0) {
		control_answer(client, err.status, err.text);
		return;
	}
	if (control_is_stop(&client->request)) {
		sd_event_source_set_priority(client->on_turn, PRIORITY_SIGNAL);
		sup->leaving = true;
	}
	due_now(sup, client->on_turn);
}

static int control_on_timeout(sd_event_source *source, uint64_t now, void *data)
{
	control_free_client(data);
	return 0;
}

/* May free the client. */
static void control_read(struct control_client *client)
{
	char *at = client->text + client->n, *end;
	ssize_t n = recv(client->fd, at, CONTROL_REQUEST_MAX - client->n, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		control_free_client(client);
		return;
	}
	client->n += n;
	end = memchr(at, '\n', n);
	if (end) {
		/* From now on only the end of the connection is an event. */
		client->timer = sd_event_source_disable_unref(client->timer);
		sd_event_source_set_io_events(client->source, EPOLLRDHUP);
		control_take_request(client, end - client->text);
	} else if (client->n == CONTROL_REQUEST_MAX) {
		control_answer(client, EXIT_USAGE, "the request is longer than 128 KiB");
	}
}

static int control_on_client(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct control_client *client = data;

	if (!client->is_complete) {
		control_read(client);
	} else if (client->waiting == CONTROL_WAIT_REQUEST) {
		/* The client is gone, but its request is carried out. */
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	} else {
		control_free_client(client); /* its request goes on */
	}
	return 0;
}

/* How many clients without a complete request the process has. */
static unsigned int control_count_incomplete(const struct control *control, pid_t pid)
{
	unsigned int n = 0;

	for (const struct control_client *c = control->clients; c; c = c->next)
		n += c->pid == pid && !c->is_complete;
	return n;
}

/* Makes room for a client: refuses the oldest one without a complete request, of the process that
 * has most of them. So a process with many clients keeps no other one from sending its request.
 * Returns false if all clients have sent their requests and wait for the answers. */
static bool control_make_room(struct control *control)
{
	struct control_client *oldest = NULL;
	unsigned int most = 0;

	if (control->n_clients < CONTROL_CLIENTS_MAX)
		return true;
	for (struct control_client *c = control->clients; c; c = c->next) {
		const unsigned int n = control_count_incomplete(control, c->pid);

		if (c->is_complete || n < most)
			continue;
		oldest = c;
		most = n;
	}
	if (oldest) {
		control_peer_refuse(oldest->fd);
		control_free_client(oldest);
	}
	return oldest;
}

/* Takes over @fd. Returns NULL if out of memory. */
static struct control_client *control_add_client(struct control *control, int fd, pid_t pid)
{
	struct control_client *client = calloc(1, sizeof(*client));

	if (!client) {
		close(fd);
		return NULL;
	}
	client->fd = fd;
	client->pid = pid;
	client->control = control;
	client->next = control->clients;
	control->clients = client;
	control->n_clients++;
	client->text = malloc(CONTROL_REQUEST_MAX);
	if (client->text &&
	    due_new(control->sup, SD_EVENT_PRIORITY_NORMAL, control_on_turn, client,
	            &client->on_turn) >= 0 &&
	    sd_event_add_io(control->sup->all->loop, &client->source, fd, EPOLLIN,
	                    control_on_client, client) >= 0 &&
	    sd_event_add_time_relative(control->sup->all->loop, &client->timer, CLOCK_MONOTONIC,
	                               CONTROL_REQUEST_US, 0, control_on_timeout, client) >= 0)
		return client;
	control_free_client(client);
	return NULL;
}

static int control_on_again(sd_event_source *source, uint64_t now, void *data)
{
	const struct control *control = data;

	sd_event_source_set_enabled(control->source, SD_EVENT_ON);
	return 0;
}

/* A connection that can't be accepted stays an event: the next try is some time later. */
static void control_try_later(struct control *control)
{
	sd_event_source_set_enabled(control->source, SD_EVENT_OFF);
	control->again = sd_event_source_disable_unref(control->again);
	memory_check(sd_event_add_time_relative(control->sup->all->loop, &control->again,
	                                        CLOCK_MONOTONIC, CONTROL_AGAIN_US, 0,
	                                        control_on_again, control));
}

static int control_on_connection(sd_event_source *source, int listener, uint32_t events, void *data)
{
	struct control *control = data;
	_cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct control_client *client;
	pid_t pid;

	if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
		control_try_later(control);
	if (fd < 0 || !control_peer_may_ask(fd, &pid))
		return 0;
	if (file_limit_is_near(fd) || !control_make_room(control)) {
		control_peer_refuse(fd);
		return 0;
	}
	client = control_add_client(control, TAKE_FD(fd), pid);
	if (client)
		control_read(client); /* a command sends its request at once */
	return 0;
}

int control_listen(struct control *control, struct error *err)
{
	struct sockaddr_un address;
	mode_t mask;
	int r = 0;

	control->again = sd_event_source_disable_unref(control->again);
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
		r = sd_event_add_io(control->sup->all->loop, &control->source, control->fd, EPOLLIN,
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
	control->again = sd_event_source_disable_unref(control->again);
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
	sd_event_source_disable_unref(control->again);
	sd_event_source_disable_unref(control->source);
	cleanup_close(&control->fd);
	free(control);
}
