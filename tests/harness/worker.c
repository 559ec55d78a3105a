/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * worker: the server that the tests put behind SO_REUSEPORT. It answers every HTTP request with its
 * own id and can be told to misbehave in the ways that real servers do: to listen without accepting
 * (a black hole), to hold its siblings' listeners open (a pre-fork server), to close its listener
 * and live on. It is fast enough for the benchmark, too.
 *
 * It is no web server: one small answer for every path, no TLS, and a client that lets its answers
 * pile up unread is dropped.
 *
 * Words. A row is one listener for each address. A lane is what serves a row: a thread with an
 * epoll instance (or a blocking accept()) of its own. A plain worker has one row and one lane;
 * --threads T has T of each in one process; --prefork N has N rows, opened by the parent, and N
 * children, each with all rows open and a lane on one of them; with --shared all children have
 * their lane on the same row. The main thread of each process only waits for signals and passes
 * them to its lanes as orders.
 */
#include <argp.h>
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXIT_USAGE 2

#define ADDRESS_MAX  16
#define LANE_MAX     1024
#define ID_MAX       64
#define REQUEST_MAX  4096 /* bytes of a request's head */
#define EVENTS_MAX   64
#define ACCEPTS_MAX  16 /* in a row, before the open connections get their turn */
#define IDLE_SECONDS 5  /* --accept-blocking: how long a silent client may block the lane */

enum mode {
	MODE_PLAIN,
	MODE_THREADS,
	MODE_PREFORK,
};

struct options {
	const char *addresses[ADDRESS_MAX];
	size_t n_addresses;
	const char *id;
	const char *device;
	uint16_t port;
	int backlog;
	int uid; /* -1: stay who we are */
	int grace_ms;
	enum mode mode;
	unsigned lanes;
	bool shared;
	bool v6only;
	bool no_reuseport;
	bool no_accept;
	bool no_respawn;
	bool no_keepalive;
	bool blocking;
};

struct server {
	const struct options *options;
	uint16_t port;
	unsigned rows;
	int *listeners;  /* rows x n_addresses; -1 when closed */
	pid_t *children; /* of a pre-fork parent, by lane; 0: none */
	bool closed;
};

/* Orders to a lane, as bits. */
#define ORDER_ACCEPT    0x1u /* begin to accept */
#define ORDER_CLOSE     0x2u /* close the listeners and go on */
#define ORDER_TERMINATE 0x4u /* close the listeners, finish what is open, end */

struct lane;

/* What epoll reports; the first member of all that a lane waits for. */
struct source {
	void (*ready)(struct lane *lane, struct source *source);
	int fd;
};

struct request {
	uint64_t body_left;
	bool open; /* its head was read, its answer is not sent */
	bool close;
	bool wants_pid;
};

struct connection {
	struct source source;
	LIST_ENTRY(connection) all;
	struct request request;
	unsigned served;
	bool polled;
	size_t len;
	char text[REQUEST_MAX + 1];
};

struct lane {
	const struct options *options;
	char id[ID_MAX + 16];
	int *row; /* its listeners, in the server's array */
	struct source listeners[ADDRESS_MAX];
	struct source orders_given; /* an eventfd: look at the orders */
	atomic_uint orders;
	int epoll; /* -1: blocking */
	bool accepting;
	bool terminating;
	int64_t deadline_ms; /* when terminating */
	LIST_HEAD(, connection) connections;
	pthread_t thread;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Requests and answers */

static const char *header_value(const char *head, const char *line_start)
{
	const char *value = strcasestr(head, line_start);

	if (!value)
		return NULL;
	value += strlen(line_start);
	return value + strspn(value, " \t");
}

static bool header_is(const char *head, const char *line_start, const char *value)
{
	const char *found = header_value(head, line_start);

	return found && strncasecmp(found, value, strlen(value)) == 0;
}

static void connection_consume(struct connection *connection, size_t len)
{
	connection->len -= len;
	memmove(connection->text, connection->text + len, connection->len + 1);
}

/* Opens a request if its whole head is there. */
static void request_read(struct connection *connection)
{
	struct request *request = &connection->request;
	char *end = memmem(connection->text, connection->len, "\r\n\r\n", 4);
	const char *head = connection->text, *length;

	if (!end)
		return;
	end[2] = '\0';
	length = header_value(head, "\r\nContent-Length:");
	request->body_left = length ? strtoull(length, NULL, 10) : 0;
	request->close = header_is(head, "\r\nConnection:", "close");
	if (strstr(head, " HTTP/1.0\r\n"))
		request->close = !header_is(head, "\r\nConnection:", "keep-alive");
	request->wants_pid = strncmp(head, "GET /pid ", strlen("GET /pid ")) == 0;
	request->open = true;
	connection_consume(connection, (size_t)(end + 4 - connection->text));
}

static bool answer(struct lane *lane, struct connection *connection)
{
	struct request *request = &connection->request;
	char text[512], body[ID_MAX + 32];
	int body_len, len;

	if (lane->options->no_keepalive || lane->options->blocking || lane->terminating)
		request->close = true;
	if (request->wants_pid)
		body_len = snprintf(body, sizeof(body), "%d\n", getpid());
	else
		body_len = snprintf(body, sizeof(body), "%s\n", lane->id);
	len = snprintf(text, sizeof(text),
	               "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
	               "X-Worker: %s\r\n%s\r\n%s",
	               body_len, lane->id, request->close ? "Connection: close\r\n" : "", body);
	if (send(connection->source.fd, text, (size_t)len, MSG_NOSIGNAL) != len)
		return false;
	request->open = false;
	connection->served++;
	return !request->close;
}

/* Answers all requests that are whole. Returns false when the connection is to be closed. */
static bool connection_progress(struct lane *lane, struct connection *connection)
{
	struct request *request = &connection->request;

	for (;;) {
		size_t part;

		if (!request->open)
			request_read(connection);
		if (!request->open)
			return connection->len < REQUEST_MAX;
		part = connection->len < request->body_left ? connection->len
		                                            : (size_t)request->body_left;
		connection_consume(connection, part);
		request->body_left -= part;
		if (request->body_left)
			return true;
		if (!answer(lane, connection))
			return false;
	}
}

/* Reads once. Returns false when the connection is to be closed. */
static bool connection_serve(struct lane *lane, struct connection *connection)
{
	ssize_t n = recv(connection->source.fd, connection->text + connection->len,
	                 REQUEST_MAX - connection->len, 0);

	if (n < 0)
		return (errno == EAGAIN && !lane->options->blocking) || errno == EINTR;
	if (n == 0)
		return false;
	connection->len += (size_t)n;
	connection->text[connection->len] = '\0';
	return connection_progress(lane, connection);
}

static void connection_free(struct connection *connection)
{
	if (connection->polled)
		LIST_REMOVE(connection, all);
	close(connection->source.fd);
	free(connection);
}

static void connection_ready(struct lane *lane, struct source *source)
{
	struct connection *connection = (struct connection *)source;

	if (!connection_serve(lane, connection))
		connection_free(connection);
}

static struct connection *connection_new(int fd)
{
	struct connection *connection = malloc(sizeof(*connection));

	if (!connection) {
		warn("connection");
		close(fd);
		return NULL;
	}
	/* All but the text, for speed. */
	memset(connection, 0, offsetof(struct connection, text) + 1);
	connection->source = (struct source){connection_ready, fd};
	return connection;
}

static bool connection_poll(struct lane *lane, struct connection *connection)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

	if (epoll_ctl(lane->epoll, EPOLL_CTL_ADD, connection->source.fd, &event) < 0) {
		warn("epoll for a connection");
		return false;
	}
	LIST_INSERT_HEAD(&lane->connections, connection, all);
	connection->polled = true;
	return true;
}

/* The request is mostly there already, so that a connection costs no turn of epoll. */
static void connection_begin(struct lane *lane, int fd)
{
	struct connection *connection = connection_new(fd);

	if (!connection)
		return;
	if (!connection_serve(lane, connection) || !connection_poll(lane, connection))
		connection_free(connection);
}

/* A lane with epoll */

static void listener_ready(struct lane *lane, struct source *source)
{
	if (!lane->accepting)
		return;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			connection_begin(lane, fd);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno != ECONNABORTED && errno != EINTR) {
			warn("accept");
			usleep(10000);
			return;
		}
	}
}

/* While nothing is accepted the listener is edge-triggered: polled, and yet no busy loop. */
static int listener_poll(struct lane *lane, struct source *listener, int operation)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = listener};

	if (!lane->accepting)
		event.events |= (uint32_t)EPOLLET;
	return epoll_ctl(lane->epoll, operation, listener->fd, &event);
}

/* Another process may hold a duplicate, so close() alone would leave the listener in the epoll. */
static void lane_close_listeners(struct lane *lane)
{
	for (size_t i = 0; i < lane->options->n_addresses; i++) {
		struct source *listener = &lane->listeners[i];

		if (listener->fd < 0)
			continue;
		if (lane->epoll >= 0)
			epoll_ctl(lane->epoll, EPOLL_CTL_DEL, listener->fd, NULL);
		close(listener->fd);
		listener->fd = lane->row[i] = -1;
	}
}

static void lane_accept(struct lane *lane)
{
	if (lane->accepting)
		return;
	lane->accepting = true;
	for (size_t i = 0; lane->epoll >= 0 && i < lane->options->n_addresses; i++) {
		struct source *listener = &lane->listeners[i];

		if (listener->fd >= 0 && listener_poll(lane, listener, EPOLL_CTL_MOD) < 0)
			warn("epoll for a listener");
	}
}

/*
 * A connection that was answered and waits for a further request is idle, and closed. One that has
 * not asked yet keeps its right to an answer until the grace time is over.
 */
static void lane_close_idle(struct lane *lane)
{
	struct connection *connection = LIST_FIRST(&lane->connections);

	while (connection) {
		struct connection *next = LIST_NEXT(connection, all);
		bool keep = connection_serve(lane, connection);

		if (!keep || (connection->served && !connection->request.open && !connection->len))
			connection_free(connection);
		connection = next;
	}
}

static void lane_obey(struct lane *lane)
{
	unsigned orders = atomic_load(&lane->orders);

	if (orders & (ORDER_CLOSE | ORDER_TERMINATE))
		lane_close_listeners(lane);
	if (orders & ORDER_ACCEPT)
		lane_accept(lane);
	if (orders & ORDER_TERMINATE && !lane->terminating) {
		lane->terminating = true;
		lane->deadline_ms = now_ms() + lane->options->grace_ms;
		lane_close_idle(lane);
	}
	atomic_fetch_and(&lane->orders, ~orders);
}

static void orders_ready(struct lane *lane, struct source *source)
{
	uint64_t count;

	(void)lane;
	if (read(source->fd, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
		warn("orders");
}

static bool lane_is_done(const struct lane *lane)
{
	return lane->terminating &&
	       (LIST_EMPTY(&lane->connections) || now_ms() >= lane->deadline_ms);
}

static int lane_timeout(const struct lane *lane)
{
	int64_t left = lane->deadline_ms - now_ms();

	if (!lane->terminating)
		return -1;
	return left > 0 ? (int)left : 0;
}

static void *lane_run(void *data)
{
	struct lane *lane = data;
	struct epoll_event events[EVENTS_MAX];

	while (!lane_is_done(lane)) {
		int n = epoll_wait(lane->epoll, events, EVENTS_MAX, lane_timeout(lane));

		if (n < 0 && errno != EINTR)
			err(EXIT_FAILURE, "epoll_wait");
		for (int i = 0; i < n; i++) {
			struct source *source = events[i].data.ptr;

			source->ready(lane, source);
		}
		/* After the events, as it closes what they may point to. */
		if (atomic_load(&lane->orders))
			lane_obey(lane);
	}
	while (!LIST_EMPTY(&lane->connections))
		connection_free(LIST_FIRST(&lane->connections));
	return NULL;
}

/* A lane that blocks in accept() */

static void serve_blocking(struct lane *lane, int fd)
{
	const struct timeval patience = {.tv_sec = IDLE_SECONDS};
	struct connection *connection = connection_new(fd);

	if (!connection)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while (connection_serve(lane, connection))
		;
	connection_free(connection);
}

static void *lane_run_blocking(void *data)
{
	struct lane *lane = data;
	struct source *listener = &lane->listeners[0];

	for (;;) {
		int fd;

		lane_obey(lane);
		if (lane->terminating)
			return NULL;
		if (!lane->accepting || listener->fd < 0) {
			orders_ready(lane, &lane->orders_given);
			continue;
		}
		fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			serve_blocking(lane, fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			err(EXIT_FAILURE, "accept");
	}
}

/* The main thread: makes lanes, gives orders */

static void lane_init_epoll(struct lane *lane)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = &lane->orders_given};

	lane->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (lane->epoll < 0 ||
	    epoll_ctl(lane->epoll, EPOLL_CTL_ADD, lane->orders_given.fd, &event) < 0)
		err(EXIT_FAILURE, "epoll");
	for (size_t i = 0; i < lane->options->n_addresses; i++) {
		if (listener_poll(lane, &lane->listeners[i], EPOLL_CTL_ADD) < 0)
			err(EXIT_FAILURE, "epoll for a listener");
	}
}

/* From here on the lane polls. */
static void lane_start(struct lane *lane, const struct server *server, unsigned number)
{
	const struct options *options = server->options;
	bool blocking = options->blocking;
	int error;

	lane->options = options;
	lane->row = server->listeners + (number % server->rows) * options->n_addresses;
	lane->accepting = !options->no_accept;
	lane->epoll = -1;
	LIST_INIT(&lane->connections);
	if (options->mode == MODE_PLAIN)
		snprintf(lane->id, sizeof(lane->id), "%s", options->id);
	else
		snprintf(lane->id, sizeof(lane->id), "%s.%u", options->id, number);
	for (size_t i = 0; i < options->n_addresses; i++)
		lane->listeners[i] = (struct source){listener_ready, lane->row[i]};
	lane->orders_given = (struct source){
	        orders_ready, eventfd(0, blocking ? EFD_CLOEXEC : EFD_CLOEXEC | EFD_NONBLOCK)};
	if (lane->orders_given.fd < 0)
		err(EXIT_FAILURE, "eventfd");
	if (!blocking)
		lane_init_epoll(lane);
	error = pthread_create(&lane->thread, NULL, blocking ? lane_run_blocking : lane_run, lane);
	if (error)
		errx(EXIT_FAILURE, "thread: %s", strerror(error));
}

/* A signal that comes just before accept() blocks would be lost, so it is sent until it worked. */
static void lane_order(struct lane *lane, unsigned order)
{
	const uint64_t one = 1;

	atomic_fetch_or(&lane->orders, order);
	if (write(lane->orders_given.fd, &one, sizeof(one)) < 0)
		warn("order");
	while (lane->options->blocking && atomic_load(&lane->orders)) {
		pthread_kill(lane->thread, SIGRTMIN);
		usleep(2000);
	}
}

static unsigned order_of_signal(int signal)
{
	switch (signal) {
	case SIGUSR1:
		return ORDER_ACCEPT;
	case SIGUSR2:
		return ORDER_CLOSE;
	default:
		return ORDER_TERMINATE;
	}
}

static void wanted_signals(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGUSR1);
	sigaddset(ret, SIGUSR2);
	sigaddset(ret, SIGCHLD);
}

static int wait_for_signal(void)
{
	sigset_t set;
	int signal;

	wanted_signals(&set);
	do {
		signal = sigwaitinfo(&set, NULL);
	} while (signal < 0);
	return signal;
}

/* Closes the rows on which this process has no lane of its own: those of its siblings. */
static void close_other_rows(struct server *server, unsigned first, unsigned n)
{
	size_t width = server->options->n_addresses;

	for (unsigned row = 0; row < server->rows; row++) {
		if (row >= first && row < first + n)
			continue;
		for (size_t i = row * width; i < (row + 1) * width; i++) {
			if (server->listeners[i] >= 0)
				close(server->listeners[i]);
			server->listeners[i] = -1;
		}
	}
}

/* Serves lanes @first .. @first + @n - 1 until SIGTERM; @announce is called when all of them poll.
 */
static int run_lanes(struct server *server, unsigned first, unsigned n,
                     void (*announce)(const struct server *server, void *data), void *data)
{
	struct lane *lanes = calloc(n, sizeof(*lanes));
	unsigned order = 0;

	if (!lanes)
		err(EXIT_FAILURE, "lanes");
	for (unsigned i = 0; i < n; i++)
		lane_start(&lanes[i], server, first + i);
	announce(server, data);
	do {
		int signal = wait_for_signal();

		if (signal == SIGCHLD)
			continue;
		order = order_of_signal(signal);
		if (order != ORDER_ACCEPT)
			close_other_rows(server, first % server->rows, n);
		for (unsigned i = 0; i < n; i++)
			lane_order(&lanes[i], order);
	} while (order != ORDER_TERMINATE);
	for (unsigned i = 0; i < n; i++) {
		pthread_join(lanes[i].thread, NULL);
		close(lanes[i].orders_given.fd);
		if (lanes[i].epoll >= 0)
			close(lanes[i].epoll);
	}
	free(lanes);
	return EXIT_SUCCESS;
}

static void print_ready(const struct server *server, void *data)
{
	(void)data;
	printf("ready %d %u\n", getpid(), server->port);
	fflush(stdout);
}

/* Pre-fork: the parent */

static void tell_parent(const struct server *server, void *data)
{
	const int *fd = data;

	(void)server;
	if (write(*fd, "", 1) != 1)
		err(EXIT_FAILURE, "pipe to the parent");
	close(*fd);
}

static int child_main(struct server *server, unsigned number, pid_t parent, int ready)
{
	/* Tests that die leave no servers behind. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		err(EXIT_FAILURE, "PR_SET_PDEATHSIG");
	if (getppid() != parent)
		exit(EXIT_FAILURE);
	free(server->children);
	server->children = NULL;
	return run_lanes(server, number, 1, tell_parent, &ready);
}

/* Returns when the child polls; false if it ended before. */
static bool spawn_child(struct server *server, unsigned number)
{
	pid_t parent = getpid(), pid;
	int ready[2];
	char byte;
	bool polls;

	if (pipe2(ready, O_CLOEXEC) < 0)
		err(EXIT_FAILURE, "pipe");
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		err(EXIT_FAILURE, "fork");
	if (pid == 0) {
		int status;

		close(ready[0]);
		status = child_main(server, number, parent, ready[1]);
		free(server->listeners);
		exit(status);
	}
	close(ready[1]);
	polls = TEMP_FAILURE_RETRY(read(ready[0], &byte, 1)) == 1;
	close(ready[0]);
	server->children[number] = pid;
	if (polls) {
		printf("child %u %d\n", number, pid);
		fflush(stdout);
	}
	return polls;
}

static void signal_children(const struct server *server, int signal)
{
	for (unsigned i = 0; i < server->options->lanes; i++) {
		if (server->children[i])
			kill(server->children[i], signal);
	}
}

static void reap_children(struct server *server)
{
	bool respawn = !server->options->no_respawn && !server->closed;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		for (unsigned i = 0; i < server->options->lanes; i++) {
			if (server->children[i] != pid)
				continue;
			server->children[i] = 0;
			if (respawn && !spawn_child(server, i))
				warnx("child %u ended at once", i);
		}
	}
}

/* Not until the children have gone is the parent done, and its open listeners are no black hole. */
static int supervise(struct server *server)
{
	unsigned order = 0;

	do {
		int signal = wait_for_signal();

		if (signal == SIGCHLD) {
			reap_children(server);
			continue;
		}
		order = order_of_signal(signal);
		if (order != ORDER_ACCEPT) {
			server->closed = true;
			close_other_rows(server, 0, 0);
		}
		signal_children(server, signal);
	} while (order != ORDER_TERMINATE);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	return EXIT_SUCCESS;
}

static int prefork(struct server *server)
{
	server->children = calloc(server->options->lanes, sizeof(*server->children));
	if (!server->children)
		err(EXIT_FAILURE, "children");
	for (unsigned i = 0; i < server->options->lanes; i++) {
		if (spawn_child(server, i))
			continue;
		signal_children(server, SIGTERM);
		errx(EXIT_FAILURE, "child %u did not start", i);
	}
	print_ready(server, NULL);
	supervise(server);
	free(server->children);
	return EXIT_SUCCESS;
}

/* Listeners */

static socklen_t address_parse(const char *text, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		return sizeof(*in);
	}
	if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		return sizeof(*in6);
	}
	return 0;
}

static void set_flag(int fd, int level, int name, const char *what, int value)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)) < 0)
		err(EXIT_FAILURE, "%s", what);
}

static int listener_open(const struct server *server, const char *text)
{
	const struct options *options = server->options;
	int flags = SOCK_STREAM | SOCK_CLOEXEC | (options->blocking ? 0 : SOCK_NONBLOCK), fd;
	struct sockaddr_storage address;
	socklen_t len = address_parse(text, server->port, &address);

	fd = socket(address.ss_family, flags, 0);
	if (fd < 0)
		err(EXIT_FAILURE, "socket for %s", text);
	set_flag(fd, SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR", 1);
	if (!options->no_reuseport)
		set_flag(fd, SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT", 1);
	if (address.ss_family == AF_INET6)
		set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY", options->v6only);
	if (options->device && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, options->device,
	                                  (socklen_t)strlen(options->device)) < 0)
		err(EXIT_FAILURE, "device %s", options->device);
	if (bind(fd, (struct sockaddr *)&address, len) < 0)
		err(EXIT_FAILURE, "bind %s port %u", text, server->port);
	if (listen(fd, options->backlog) < 0)
		err(EXIT_FAILURE, "listen %s port %u", text, server->port);
	return fd;
}

static uint16_t listener_port(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		err(EXIT_FAILURE, "getsockname");
	/* sin_port and sin6_port are in the same place. */
	return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

/* With port 0 the first listener finds a port, and the others take the same. */
static void server_listen(struct server *server)
{
	const struct options *options = server->options;

	server->port = options->port;
	server->rows = options->shared ? 1 : options->lanes;
	server->listeners = calloc(server->rows * options->n_addresses, sizeof(int));
	if (!server->listeners)
		err(EXIT_FAILURE, "listeners");
	for (unsigned row = 0; row < server->rows; row++) {
		for (size_t i = 0; i < options->n_addresses; i++) {
			int fd = listener_open(server, options->addresses[i]);

			server->listeners[row * options->n_addresses + i] = fd;
			if (server->port == 0)
				server->port = listener_port(fd);
		}
	}
}

/* Options */

enum {
	OPT_V6ONLY = 0x100,
	OPT_BACKLOG,
	OPT_NO_REUSEPORT,
	OPT_NO_ACCEPT,
	OPT_THREADS,
	OPT_PREFORK,
	OPT_SHARED,
	OPT_NO_RESPAWN,
	OPT_UID,
	OPT_DEVICE,
	OPT_ACCEPT_BLOCKING,
	OPT_KEEPALIVE,
	OPT_NO_KEEPALIVE,
	OPT_GRACE,
};

static const struct argp_option option_table[] = {
        {"port", 'p', "P", 0, "Port to listen on; 0: any free one (it is printed)"},
        {"address", 'a', "ADDR", 0, "Address to listen on (default 0.0.0.0). Repeatable"},
        {"v6only", OPT_V6ONLY, 0, 0, "An IPv6 listener takes no IPv4 (default: it does)"},
        {"id", 'i', "TEXT", 0,
         "Who answers (default: the pid). With --threads and --prefork: TEXT.0, TEXT.1, ..."},
        {"backlog", OPT_BACKLOG, "N", 0, "Length of the accept queue (default 511)"},
        {"no-reuseport", OPT_NO_REUSEPORT, 0, 0, "Do not ask for SO_REUSEPORT"},
        {"no-accept", OPT_NO_ACCEPT, 0, 0, "Listen and poll, but accept nothing until SIGUSR1"},
        {"threads", OPT_THREADS, "T", 0, "T listeners for each address, a thread for each"},
        {"prefork", OPT_PREFORK, "N", 0,
         "N listeners for each address, all of them open in the parent and in N children, each "
         "polled by one child"},
        {"shared", OPT_SHARED, 0, 0,
         "With --prefork: one listener for each address, polled by all children"},
        {"no-respawn", OPT_NO_RESPAWN, 0, 0, "With --prefork: a child that died stays dead"},
        {"uid", OPT_UID, "U", 0, "Become this user before the sockets are made"},
        {"device", OPT_DEVICE, "IF", 0, "Bind the listeners to this interface"},
        {"accept-blocking", OPT_ACCEPT_BLOCKING, 0, 0,
         "No epoll: accept() blocks, one connection at a time, closed after its answer. One "
         "address "
         "only"},
        {"keepalive", OPT_KEEPALIVE, 0, 0, "Keep connections as HTTP/1.1 says (the default)"},
        {"no-keepalive", OPT_NO_KEEPALIVE, 0, 0, "Close after each answer"},
        {"grace", OPT_GRACE, "MS", 0,
         "After SIGTERM: how long to wait for what is open (default 5000)"},
        {0},
};

static int parse_number(const char *text, const char *what, int min, int max,
                        struct argp_state *state)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < min || value > max)
		argp_error(state, "%s: %s is not a number from %d to %d", what, text, min, max);
	return (int)value;
}

static void parse_address(struct options *options, const char *text, struct argp_state *state)
{
	struct sockaddr_storage address;

	if (address_parse(text, 0, &address) == 0)
		argp_error(state, "address: %s is not an address", text);
	if (options->n_addresses == ADDRESS_MAX)
		argp_error(state, "no more than %d addresses", ADDRESS_MAX);
	options->addresses[options->n_addresses++] = text;
}

static void parse_lanes(struct options *options, enum mode mode, const char *what, const char *text,
                        struct argp_state *state)
{
	if (options->mode != MODE_PLAIN)
		argp_error(state, "either --threads or --prefork, and once");
	options->mode = mode;
	options->lanes = (unsigned)parse_number(text, what, 1, LANE_MAX, state);
}

static void check_options(struct options *options, struct argp_state *state)
{
	if (options->n_addresses == 0)
		options->addresses[options->n_addresses++] = "0.0.0.0";
	if (options->backlog < 0)
		argp_error(state, "backlog: less than nothing");
	if (options->blocking && options->n_addresses > 1)
		argp_error(state, "--accept-blocking: accept() waits on one address only");
	if ((options->shared || options->no_respawn) && options->mode != MODE_PREFORK)
		argp_error(state, "--shared and --no-respawn go with --prefork");
	if (strlen(options->id) > ID_MAX)
		argp_error(state, "id: longer than %d bytes", ID_MAX);
}

static void parse_flag(struct options *options, int key)
{
	switch (key) {
	case OPT_V6ONLY:
		options->v6only = true;
		return;
	case OPT_NO_REUSEPORT:
		options->no_reuseport = true;
		return;
	case OPT_NO_ACCEPT:
		options->no_accept = true;
		return;
	case OPT_SHARED:
		options->shared = true;
		return;
	case OPT_NO_RESPAWN:
		options->no_respawn = true;
		return;
	case OPT_ACCEPT_BLOCKING:
		options->blocking = true;
		return;
	case OPT_KEEPALIVE:
		options->no_keepalive = false;
		return;
	case OPT_NO_KEEPALIVE:
		options->no_keepalive = true;
		return;
	}
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'p':
		options->port = (uint16_t)parse_number(arg, "port", 0, UINT16_MAX, state);
		return 0;
	case 'a':
		parse_address(options, arg, state);
		return 0;
	case 'i':
		options->id = arg;
		return 0;
	case OPT_BACKLOG:
		options->backlog = parse_number(arg, "backlog", 0, 1 << 20, state);
		return 0;
	case OPT_THREADS:
		parse_lanes(options, MODE_THREADS, "threads", arg, state);
		return 0;
	case OPT_PREFORK:
		parse_lanes(options, MODE_PREFORK, "prefork", arg, state);
		return 0;
	case OPT_UID:
		options->uid = parse_number(arg, "uid", 0, INT32_MAX, state);
		return 0;
	case OPT_DEVICE:
		options->device = arg;
		return 0;
	case OPT_GRACE:
		options->grace_ms = parse_number(arg, "grace", 0, 1 << 30, state);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "%s: what is that?", arg);
		return 0;
	case ARGP_KEY_END:
		check_options(options, state);
		return 0;
	default:
		if (key < OPT_V6ONLY || key > OPT_GRACE)
			return ARGP_ERR_UNKNOWN;
		parse_flag(options, key);
		return 0;
	}
}

static const struct argp parser = {
        .options = option_table,
        .parser = parse_option,
        .doc = "Answers every HTTP request with its id, in the header X-Worker and as the body "
               "(the "
               "path /pid: its pid as the body).\v"
               "Prints \"ready PID PORT\" when all listeners are polled; with --prefork a line "
               "\"child K PID\" for each child before, and again for a child that replaces a dead "
               "one.\n\n"
               "SIGTERM, SIGINT: close the listeners, finish what is open, exit 0. SIGUSR1: begin "
               "to accept. SIGUSR2: close the listeners, go on with the open connections. A "
               "--prefork parent passes them on to its children.",
};

static void ignore_signal(int signal)
{
	(void)signal;
}

/* The main thread of each process takes the signals; SIGRTMIN only interrupts accept(). */
static void init_signals(void)
{
	const struct sigaction interrupt = {.sa_handler = ignore_signal};
	sigset_t set;

	wanted_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGRTMIN, &interrupt, NULL);
}

static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(EXIT_FAILURE, "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(EXIT_FAILURE, "setrlimit");
}

int main(int argc, char **argv)
{
	char pid[16];
	struct options options = {
	        .id = pid,
	        .backlog = 511,
	        .uid = -1,
	        .grace_ms = 5000,
	        .lanes = 1,
	};
	struct server server = {.options = &options};
	int status;

	snprintf(pid, sizeof(pid), "%d", getpid());
	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&parser, argc, argv, 0, NULL, &options);
	init_signals();
	raise_fd_limit();
	if (options.uid >= 0 &&
	    setresuid((uid_t)options.uid, (uid_t)options.uid, (uid_t)options.uid) < 0)
		err(EXIT_FAILURE, "uid %d", options.uid);
	server_listen(&server);
	if (options.mode == MODE_PREFORK)
		status = prefork(&server);
	else
		status = run_lanes(&server, 0, options.lanes, print_ready, NULL);
	free(server.listeners);
	return status;
}
