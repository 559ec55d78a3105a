/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/control.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/strv.h"
#include "service/run_dir.h"
#include "supervise/types.h"

#define CONTROL_REQUEST_MAX (128 * 1024)
#define CONTROL_CLIENTS_MAX 64

enum waiting {
	WAIT_REQUEST, /* for its own */
	WAIT_RELOAD,  /* until the reload is over */
	WAIT_SETTLED, /* until each of @slots has come to where it goes */
	WAIT_GONE,    /* the same of @slots, and until the workers up to a number that are on their
	               * way out have gone */
	WAIT_END,     /* until all has ended */
};

struct client {
	struct client *next;
	struct control *control;
	int fd;
	sd_event_source *source;
	char *request;
	size_t n;
	enum waiting waiting;
	unsigned int up_to; /* for WAIT_GONE: number of the last one */
	struct slots slots; /* whose workers have to settle */
};

struct control {
	struct supervisor *sup;
	int fd;
	sd_event_source *source;
	struct client *clients;
	unsigned int n_clients;
};

static void control_client_free(struct client *client)
{
	struct client **at = &client->control->clients;

	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	client->control->n_clients--;
	sd_event_source_disable_unref(client->source);
	close(client->fd);
	free(client->request);
	free(client);
}

/* One object and a newline. A client that doesn't read does not hold us up: it misses lines. */
static void control_send_object(const struct client *client, struct json_object *object)
{
	_cleanup_free_ char *text = NULL;
	int n = asprintf(&text, "%s\n",
	                 json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));

	if (n > 0 && send(client->fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
		shutdown(client->fd, SHUT_RDWR);
	json_object_put(object);
}

static void control_send_line(const struct client *client, const char *line)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "line", json_object_new_string(line));
	control_send_object(client, object);
}

/* The answer; the connection ends with it. */
static void control_answer(struct client *client, int status, const char *error)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "status", json_object_new_int(status));
	if (error)
		json_object_object_add(object, "error", json_object_new_string(error));
	control_send_object(client, object);
	control_client_free(client);
}

void control_log(struct supervisor *sup, const char *line)
{
	for (struct client *c = sup->control ? sup->control->clients : NULL; c; c = c->next)
		if (c->waiting != WAIT_REQUEST)
			control_send_line(c, line);
}

void control_reload_ended(struct supervisor *sup, int status, const char *why,
                          const struct slots *added)
{
	struct client *next;

	for (struct client *c = sup->control ? sup->control->clients : NULL; c; c = next) {
		next = c->next;
		if (c->waiting != WAIT_RELOAD)
			continue;
		if (status != EXIT_OK) {
			control_answer(c, status, why);
			continue;
		}
		c->waiting = WAIT_GONE;
		c->slots = *added;
	}
	control_check(sup);
}

static bool control_are_gone(const struct supervisor *sup, unsigned int up_to)
{
	for (const struct worker *w = sup->workers; w; w = w->next)
		if (w->number <= up_to && w->state >= WORKER_HELD)
			return false;
	return true;
}

static bool control_have_settled(const struct supervisor *sup, const struct slots *slots)
{
	for (size_t i = 0; i < slots->n; i++) {
		enum rpd_run run = sup->slots[slots->at[i]].run;

		if (run == RPD_RUN_STARTING || run == RPD_RUN_BACKOFF)
			return false;
	}
	return true;
}

static void control_answer_settled(struct client *client)
{
	const struct supervisor *sup = client->control->sup;
	char why[64] = "";

	for (size_t i = 0; i < client->slots.n; i++)
		if (sup->slots[client->slots.at[i]].run == RPD_RUN_FAILED)
			snprintf(why, sizeof(why), "slot %u has failed", client->slots.at[i]);
	control_answer(client, why[0] ? EXIT_REFUSED : EXIT_OK, why[0] ? why : NULL);
}

void control_check(struct supervisor *sup)
{
	struct client *next;

	for (struct client *c = sup->control ? sup->control->clients : NULL; c; c = next) {
		next = c->next;
		if ((c->waiting == WAIT_SETTLED ||
		     (c->waiting == WAIT_GONE && control_are_gone(sup, c->up_to))) &&
		    control_have_settled(sup, &c->slots))
			control_answer_settled(c);
	}
}

/* --- requests */

static void control_wait_for(struct client *client, enum waiting what)
{
	client->waiting = what;
	client->up_to = client->control->sup->last_number;
}

/* What a reload changes beside the workers themselves needs another start of `run`. */
static int control_check_same_service(const struct run_config *is, const struct run_config *other,
                                      struct error *err)
{
	if (is->n_listens != other->n_listens || is->pass_sockets != other->pass_sockets ||
	    is->policy != other->policy || is->no_count != other->no_count ||
	    memcmp(is->listens, other->listens, is->n_listens * sizeof(is->listens[0])) != 0)
		return error_set(err, -EINVAL,
		                 "listen, pass-sockets, policy and no-count can't be changed by a "
		                 "reload: stop the service and start it anew");
	return 0;
}

static int control_check_same_user(const struct supervisor *sup, const struct run_config *other,
                                   struct error *err)
{
	if (setup_workers_uid(&sup->plan->config) == setup_workers_uid(other))
		return 0;
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (sup->slots[slot].current && placement_listens(sup->slots[slot].current))
			return error_set(err, -EINVAL,
			                 "user can't be changed by a reload: the kernel lets only "
			                 "processes of one user share a port (but with "
			                 "pass-sockets), so the new workers could not listen "
			                 "beside the old ones: stop the service and start it anew");
	return 0;
}

/* The configuration as it is now: of its file, or, with a command of its own, as it was. */
static int control_new_config(struct supervisor *sup, struct json_object *request,
                              struct run_config *ret, struct error *err)
{
	struct json_object *argv = json_object_object_get(request, "argv");
	char **copy;
	int r;

	if (!argv && sup->request->reread) {
		r = sup->request->reread(sup->name, ret, sup->request->data, err);
		if (r == 0)
			r = control_check_same_service(&sup->plan->config, ret, err);
		if (r == 0)
			r = control_check_same_user(sup, ret, err);
		return r;
	}
	r = run_config_copy(&sup->plan->config, ret);
	if (r < 0 || !argv)
		return r < 0 ? error_set(err, r, "out of memory") : 0;
	if (!json_object_is_type(argv, json_type_array) || json_object_array_length(argv) == 0)
		return error_usage(err, "the command is empty");
	copy = persisted_command_of(argv);
	if (!copy)
		return error_set(err, -ENOMEM, "out of memory");
	strv_free(ret->argv);
	ret->argv = copy;
	return 0;
}

/* How it is to be done: as the configuration has it, and the request otherwise. */
static int control_ways_of(const struct run_config *config, struct json_object *request,
                           struct reload_ways *ret, struct error *err)
{
	struct json_object *value;

	*ret = reload_ways(config);
	if (json_object_object_get_ex(request, "batch", &value)) {
		int batch = json_object_get_int(value);

		if (batch < 1)
			return error_usage(err, "the batch is at least 1");
		ret->batch = batch;
	}
	if (json_object_object_get_ex(request, "in_place", &value))
		ret->in_place = json_object_get_boolean(value);
	if (json_object_object_get_ex(request, "keep_going", &value))
		ret->keep_going = json_object_get_boolean(value);
	return 0;
}

static int control_reload_plan(struct supervisor *sup, struct json_object *request,
                               struct plan **ret, struct error *err)
{
	struct json_object *value;
	struct run_config config;
	int r;

	run_config_init(&config);
	r = control_new_config(sup, request, &config, err);
	if (r == 0 && json_object_object_get_ex(request, "label", &value))
		snprintf(config.label, sizeof(config.label), "%s", json_object_get_string(value));
	if (r == 0)
		r = run_config_check(&config, err);
	*ret = r == 0 ? plan_new(&config) : NULL;
	if (*ret)
		(*ret)->relabel = sup->plan->relabel ||
		                  json_object_object_get_ex(request, "label", NULL) ||
		                  strcmp(config.label, sup->plan->config.label) != 0;
	run_config_free(&config);
	if (r == 0 && !*ret)
		r = error_set(err, -ENOMEM, "out of memory");
	return r;
}

/* @client: who waits for it, or NULL. */
static int control_begin_reload(struct supervisor *sup, struct client *client,
                                struct json_object *request, struct error *err)
{
	struct plan *plan = NULL;
	struct reload_ways ways = {};
	struct slots slots;
	int r = control_reload_plan(sup, request, &plan, err);

	if (r == 0)
		r = control_ways_of(&plan->config, request, &ways, err);
	reload_slots(sup, &slots);
	if (r == 0)
		r = supervisor_prepare(sup, &plan->config, err);
	if (r == 0 && slots.n == 0)
		r = error_set(err, -EINVAL, "service '%s': all slots are stopped", sup->name);
	if (r == 0 && client)
		control_wait_for(client, WAIT_RELOAD);
	if (r == 0)
		r = reload_begin(sup, &slots, plan, &ways, err);
	plan_unref(plan);
	return r;
}

static int control_do_reload(struct client *client, struct json_object *request, struct error *err)
{
	return control_begin_reload(client->control->sup, client, request, err);
}

int control_reload(struct supervisor *sup, struct error *err)
{
	return control_begin_reload(sup, NULL, NULL, err);
}

/* The slots that the request names. */
static int control_slots_of(const struct supervisor *sup, struct json_object *request,
                            struct slots *ret, struct error *err)
{
	struct json_object *list = json_object_object_get(request, "slots");

	ret->n = 0;
	if (!json_object_is_type(list, json_type_array) || json_object_array_length(list) == 0 ||
	    json_object_array_length(list) > RPD_SLOT_MAX)
		return error_usage(err, "name the slots");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		int slot = json_object_get_int(json_object_array_get_idx(list, i));

		if (slot < 0 || (unsigned int)slot >= sup->n_slots)
			return error_usage(err,
			                   "there is no slot %d: service '%s' has slots 0 to %u",
			                   slot, sup->name, sup->n_slots - 1);
		ret->at[ret->n++] = slot;
	}
	return 0;
}

/* A reload of some slots, by the plan in force. */
static int control_do_restart(struct client *client, struct json_object *request, struct error *err)
{
	struct supervisor *sup = client->control->sup;
	struct reload_ways ways;
	struct slots slots;
	int r = control_slots_of(sup, request, &slots, err);

	if (r == 0)
		r = control_ways_of(&sup->plan->config, request, &ways, err);
	if (r < 0)
		return r;
	control_wait_for(client, WAIT_RELOAD);
	return reload_begin(sup, &slots, sup->plan, &ways, err);
}

static int control_do_scale(struct client *client, struct json_object *request, struct error *err)
{
	struct supervisor *sup = client->control->sup;
	struct json_object *value;
	int n;

	if (!json_object_object_get_ex(request, "workers", &value))
		return error_usage(err, "say to how many workers");
	n = json_object_get_int(value);
	if (n < 1 || n > RPD_SLOT_MAX)
		return error_usage(err, "the number of workers is 1 to %d", RPD_SLOT_MAX);
	control_wait_for(client, n > (int)sup->n_slots ? WAIT_SETTLED : WAIT_GONE);
	for (int slot = sup->n_slots; slot < n; slot++)
		client->slots.at[client->slots.n++] = slot;
	return slot_scale(sup, n, err);
}

static int control_do_stop(struct client *client, struct json_object *request, struct error *err)
{
	struct supervisor *sup = client->control->sup;
	struct slots slots;
	int r;

	if (!json_object_object_get(request, "slots")) {
		control_wait_for(client, WAIT_END);
		if (!sup->stopping) /* once more would kill: that is what a second signal does */
			supervisor_stop(sup);
		return 0;
	}
	r = control_slots_of(sup, request, &slots, err);
	if (r == 0 && sup->reload)
		r = error_set(err, -EBUSY, "service '%s': workers are being replaced", sup->name);
	if (r == 0)
		control_wait_for(client, WAIT_GONE);
	for (size_t i = 0; r == 0 && i < slots.n; i++)
		r = slot_stop(sup, slots.at[i], err);
	if (r == 0) /* those that were starting leave room for others */
		slot_start_waiting(sup);
	return r;
}

static int control_do_start(struct client *client, struct json_object *request, struct error *err)
{
	struct supervisor *sup = client->control->sup;
	struct slots slots;
	int r = control_slots_of(sup, request, &slots, err);

	if (r == 0 && sup->reload)
		r = error_set(err, -EBUSY, "service '%s': workers are being replaced", sup->name);
	for (size_t i = 0; r == 0 && i < slots.n; i++) {
		const struct worker *current = sup->slots[slots.at[i]].current;

		if (current)
			r = error_set(err, -EEXIST, "slot %u of service '%s' has a worker, pid %u",
			              slots.at[i], sup->name, current->pid);
	}
	if (r < 0)
		return r;
	control_wait_for(client, WAIT_SETTLED);
	client->slots = slots;
	for (size_t i = 0; i < slots.n; i++) {
		struct slot *it = &sup->slots[slots.at[i]];

		it->crashes = 0;
		it->proven = false;
		it->timer = sd_event_source_disable_unref(it->timer); /* not after the pause: now */
		it->run = RPD_RUN_STARTING;
		placement_note(sup, it->number);
	}
	slot_start_waiting(sup);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct client *client, struct json_object *request, struct error *err);
} requests[] = {
        {"reload", control_do_reload}, {"restart", control_do_restart}, {"scale", control_do_scale},
        {"stop", control_do_stop},     {"start", control_do_start},
};

static void control_take_request(struct client *client)
{
	struct supervisor *sup = client->control->sup;
	struct json_object *request = json_tokener_parse(client->request);
	const char *name = json_object_get_string(json_object_object_get(request, "do"));
	struct error err = {};
	int r = -EOPNOTSUPP;

	error_set(&err, r, "the supervisor doesn't know what to do; is it of another version?");
	for (size_t i = 0; name && i < ARRAY_SIZE(requests); i++)
		if (!strcmp(name, requests[i].name))
			r = requests[i].run(client, request, &err);
	json_object_put(request);
	if (r < 0)
		control_answer(client, err.status, err.text);
	else
		control_check(sup);
}

static int control_on_client(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct client *client = data;
	ssize_t n = read(fd, client->request + client->n, CONTROL_REQUEST_MAX - client->n - 1);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0 || client->n + n >= CONTROL_REQUEST_MAX - 1) {
		control_client_free(client); /* gone; what it asked for goes on */
		return 0;
	}
	if (client->waiting != WAIT_REQUEST)
		return 0;
	client->n += n;
	client->request[client->n] = '\0';
	if (memchr(client->request, '\n', client->n))
		control_take_request(client);
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
	struct client *client;

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

static void control_socket_address(const char *service, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	run_dir_path(service, "control", ret->sun_path, sizeof(ret->sun_path));
}

int control_new(struct supervisor *sup, struct control **ret, struct error *err)
{
	struct sockaddr_un address;
	struct control *control = calloc(1, sizeof(*control));
	mode_t mask;
	int r = 0;

	if (!control)
		return error_set(err, -ENOMEM, "out of memory");
	control->sup = sup;
	control_socket_address(sup->name, &address);
	unlink(address.sun_path); /* of one that was killed: there is one supervisor at a time */
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mask = umask(0177);
	if (control->fd < 0 ||
	    bind(control->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(control->fd, SOMAXCONN) < 0)
		r = -errno;
	umask(mask);
	if (r == 0)
		r = sd_event_add_io(sup->loop, &control->source, control->fd, EPOLLIN,
		                    control_on_connection, control);
	if (r < 0) {
		error_set(err, r, "can't listen on %s: %s", address.sun_path, strerror(-r));
		cleanup_close(&control->fd);
		free(control);
		return r;
	}
	*ret = control;
	return 0;
}

void control_close(struct control *control)
{
	struct sockaddr_un address;

	control_socket_address(control->sup->name, &address);
	unlink(address.sun_path);
	control->source = sd_event_source_disable_unref(control->source);
	cleanup_close(&control->fd);
	control->fd = -1;
}

void control_free(struct control *control, int status)
{
	if (!control)
		return;
	while (control->clients)
		if (control->clients->waiting == WAIT_END)
			control_answer(control->clients, EXIT_OK, NULL);
		else if (control->clients->waiting != WAIT_REQUEST)
			control_answer(control->clients, status ? status : EXIT_REFUSED,
			               "the service was stopped");
		else
			control_client_free(control->clients);
	sd_event_source_disable_unref(control->source);
	cleanup_close(&control->fd);
	free(control);
}

/* --- the other end */

static int control_take_answer(struct json_object *object, void (*on_line)(const char *, void *),
                               void *data, int *ret_status, struct error *err)
{
	struct json_object *value;

	if (json_object_object_get_ex(object, "line", &value))
		on_line(json_object_get_string(value), data);
	if (!json_object_object_get_ex(object, "status", &value))
		return 0;
	*ret_status = json_object_get_int(value);
	if (*ret_status != EXIT_OK) {
		error_set(err, -ECANCELED, "%s",
		          json_object_object_get_ex(object, "error", &value)
		                  ? json_object_get_string(value)
		                  : "the supervisor gives no reason");
		err->status = *ret_status;
	}
	return 1;
}

static int control_open_socket(const char *service, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;

	control_socket_address(service, &address);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return TAKE_FD(fd);
	if (errno == ENOENT || errno == ECONNREFUSED)
		return error_set(err, -ENOENT,
		                 "service '%s' has no supervisor: `reuseportd run` is not running",
		                 service);
	return error_set(err, -errno, "can't talk to the supervisor of service '%s' by %s: %s",
	                 service, address.sun_path, strerror(errno));
}

int control_ask(const char *service, const char *request,
                void (*on_line)(const char *line, void *data), void *data, struct error *err)
{
	struct iovec parts[] = {{(char *)request, strlen(request)}, {"\n", 1}};
	const struct msghdr message = {.msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts)};
	_cleanup_close_ int fd = control_open_socket(service, err);
	_cleanup_file_ FILE *stream = NULL;
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	int status = 0;

	if (fd < 0)
		return fd;
	/* If it has just died there is nothing to read either; and no SIGPIPE. */
	sendmsg(fd, &message, MSG_NOSIGNAL);
	stream = fdopen(fd, "r");
	if (!stream)
		return error_set(err, -errno, "%s", strerror(errno));
	TAKE_FD(fd);
	while (getline(&line, &room, stream) > 0) {
		struct json_object *object = json_tokener_parse(line);
		int r = control_take_answer(object, on_line, data, &status, err);

		json_object_put(object);
		if (r > 0)
			return status ? -ECANCELED : 0;
	}
	return error_set(err, -EPIPE, "the supervisor of service '%s' has ended before it was done",
	                 service);
}
