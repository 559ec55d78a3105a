/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loadgen: opens TCP connections, asks one HTTP question (or several) on each, and says of every
 * single connection how it ended and which worker answered it. It exists to prove statements such
 * as "nothing was lost during the reload", so the outcomes are counted, never sampled, and the
 * faults of the client's own machine (no free port, no descriptor) are kept apart.
 *
 * It is not a benchmark of HTTP servers: one thread, one small answer at a time, no TLS, no
 * HTTP/2, no pipelining, addresses only by number.
 *
 * Ports. A connection that the client closes first stays in TIME_WAIT on the client's side and
 * keeps its (source address, source port, target) for a minute, or on loopback for one second
 * (tcp_tw_reuse). One source address has some 28,000 ports, so a fast run would soon end in
 * EADDRNOTAVAIL. Three things prevent that:
 *  - a target in 127.0.0.0/8 is called from 127.0.0.1 .. 127.0.0.16 in turn unless --source names
 *    other addresses (IP_BIND_ADDRESS_NO_PORT, so that the port is chosen at connect() and only the
 *    whole 4-tuple has to be free);
 *  - a source without a free port is passed over for the next one, and only if none of them has
 *    one is the connection a local error;
 *  - --linger0 closes by RST once the whole answer is there, and no TIME_WAIT is left on either
 *    side.
 */
#include <argp.h>
#include <arpa/inet.h>
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <search.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#define EXIT_ALL_OK 0
#define EXIT_FAILED 1
#define EXIT_USAGE  2

#define ANSWER_MAX       4096 /* bytes of an answer that are looked at; its head must fit */
#define WORKER_ID_MAX    64
#define WORKER_MAX       4096 /* different ids; what comes after them is "(others)" */
#define LOOPBACK_SOURCES 16
#define SPARE_FDS        16
#define EVENTS_MAX       256

/* Name in the report, the log and the JSON object. */
#define OUTCOMES(X)                                                                                \
	X(OK, "ok")                                                                                \
	X(REFUSED, "refused")                                                                      \
	X(RESET, "reset")                                                                          \
	X(TIMEOUT, "timeout")                                                                      \
	X(CLOSED_EARLY, "closed_early")                                                            \
	X(BAD_ANSWER, "bad_answer")                                                                \
	X(LOCAL_ERROR, "local_error")

enum outcome {
#define OUTCOME_SYMBOL(symbol, name) OUTCOME_##symbol,
	OUTCOMES(OUTCOME_SYMBOL) OUTCOME_MAX,
};

#define OUTCOME_NAME(symbol, name) [OUTCOME_##symbol] = (name),
static const char *const outcome_names[] = {OUTCOMES(OUTCOME_NAME)};
_Static_assert(sizeof(outcome_names) / sizeof(*outcome_names) == OUTCOME_MAX, "a name for each");

struct address {
	struct sockaddr_storage any;
	socklen_t len;
};

struct addresses {
	struct address *list;
	size_t n;
};

struct options {
	struct addresses targets;
	char **target_names;
	struct addresses sources;
	uint64_t connections; /* 0: until stopped */
	uint64_t concurrency;
	uint64_t keepalive; /* requests on each connection */
	uint64_t timeout_us;
	double rate;     /* per second, 0: as fast as it goes */
	double duration; /* seconds, 0: unbounded */
	const char *request;
	const char *log;
	bool hold;
	bool linger0;
	bool json;
	bool quiet;
};

struct target {
	const char *name;
	struct address address;
	struct addresses sources; /* empty: let the kernel choose */
	size_t source_turn;
	char *request;
	size_t request_len;
};

/* A worker that answered; found by its id in a tree that is sorted naturally (w2 before w10). */
struct worker {
	char id[WORKER_ID_MAX + 1];
	uint64_t connections;
};

enum answer_state {
	ANSWER_PART,
	ANSWER_WHOLE,
	ANSWER_BAD,
};

struct answer {
	char text[ANSWER_MAX + 1];
	size_t len;        /* bytes kept in text */
	uint64_t received; /* bytes that came */
	size_t head_len;   /* with the empty line; 0 until the whole head is there */
	int64_t body_len;  /* Content-Length, -1: none */
	char tail[7];      /* the last bytes that came */
	bool chunked;      /* the body comes in chunks */
	bool last_on_line; /* the server said that it closes after this one */
};

struct connection {
	TAILQ_ENTRY(connection) waiting; /* for an answer, by asked_us */
	SLIST_ENTRY(connection) unused;
	struct target *target;
	struct worker *worker; /* of the first answer */
	uint64_t begin_us;     /* just before connect() */
	uint64_t asked_us;     /* when the answer that is awaited was asked for */
	uint64_t answers;
	size_t sent; /* bytes of the request that went out */
	int fd;
	uint32_t watched; /* epoll events */
	bool held;
	struct answer answer;
};

/* Log-linear histogram: exact up to 127 us, then within 0.8 %. */
#define LATENCY_BITS    7
#define LATENCY_STEPS   (1u << LATENCY_BITS)
#define LATENCY_BUCKETS ((64 - LATENCY_BITS + 1) * LATENCY_STEPS)

struct latency {
	uint64_t buckets[LATENCY_BUCKETS];
	uint64_t n;
	uint64_t max;
};

struct loadgen {
	const struct options *options;
	struct target *targets;
	struct connection *pool;
	size_t pool_size;
	size_t pool_touched; /* connections of the pool that were ever used */
	SLIST_HEAD(, connection) unused;
	TAILQ_HEAD(waiting_list, connection) waiting;
	int epoll;
	int signals;
	FILE *log;
	void *workers; /* tsearch() tree of struct worker */
	size_t n_workers;
	uint64_t begun;
	uint64_t in_flight; /* begun, and neither finished nor held */
	uint64_t held;
	uint64_t answers;
	uint64_t outcomes[OUTCOME_MAX];
	uint64_t start_us;
	uint64_t settled_us; /* the last time a connection was answered or failed */
	bool stopping;       /* begin nothing more, and let go of what is held */
	bool hold_announced;
	struct latency latency;
	char scratch[65536];
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Addresses */

static bool address_resolve(const char *host, const char *port, struct address *ret)
{
	const struct addrinfo hints = {
	        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	        .ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *found;

	if (getaddrinfo(host, port, &hints, &found) != 0)
		return false;
	memcpy(&ret->any, found->ai_addr, found->ai_addrlen);
	ret->len = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

/* 127.0.0.1:80, [::1]:80 */
static bool address_parse_with_port(const char *text, struct address *ret)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	char host[128], *end;
	unsigned long port;

	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	} else if (len == 0 || memchr(text, ':', len)) {
		return false;
	}
	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	/* getaddrinfo() would take port 99999 for 34463. */
	port = strtoul(colon + 1, &end, 10);
	if (!isdigit((unsigned char)colon[1]) || *end || port == 0 || port > UINT16_MAX)
		return false;
	return address_resolve(host, colon + 1, ret);
}

static void addresses_add(struct addresses *all, const struct address *one)
{
	all->list = reallocarray(all->list, all->n + 1, sizeof(*all->list));
	if (!all->list)
		err(EXIT_FAILED, "addresses");
	all->list[all->n++] = *one;
}

/* Latency */

static void latency_add(struct latency *latency, uint64_t us)
{
	size_t i = us;

	if (us >= LATENCY_STEPS) {
		unsigned shift = 63 - (unsigned)__builtin_clzll(us) - LATENCY_BITS;

		i = shift * LATENCY_STEPS + (us >> shift);
	}
	latency->buckets[i]++;
	latency->n++;
	if (us > latency->max)
		latency->max = us;
}

/* The highest value of the bucket in which @share of all values are reached. */
static uint64_t latency_quantile(const struct latency *latency, double share)
{
	uint64_t rank = (uint64_t)(share * (double)latency->n), seen = 0;

	for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
		size_t shift = i < LATENCY_STEPS ? 0 : i / LATENCY_STEPS - 1;
		uint64_t last = ((i - shift * LATENCY_STEPS + 1) << shift) - 1;

		seen += latency->buckets[i];
		if (seen > rank)
			return last < latency->max ? last : latency->max;
	}
	return latency->max;
}

/* Workers */

static int worker_compare(const void *a, const void *b)
{
	const struct worker *one = a, *other = b;

	return strverscmp(one->id, other->id);
}

static struct worker *worker_get(struct loadgen *lg, const char *id, size_t len)
{
	struct worker wanted = {0}, **found, *new;

	/* One word, so that a line of the log keeps its columns. */
	for (size_t i = 0; i < len && i < WORKER_ID_MAX; i++)
		wanted.id[i] = isgraph((unsigned char)id[i]) ? id[i] : '_';
	if (len == 0)
		wanted.id[0] = '-';
	found = tfind(&wanted, &lg->workers, worker_compare);
	if (!found && lg->n_workers >= WORKER_MAX) {
		strcpy(wanted.id, "(others)");
		found = tfind(&wanted, &lg->workers, worker_compare);
	}
	if (found)
		return *found;

	new = malloc(sizeof(*new));
	if (!new)
		err(EXIT_FAILED, "worker %s", wanted.id);
	*new = wanted;
	if (!tsearch(new, &lg->workers, worker_compare))
		err(EXIT_FAILED, "worker %s", wanted.id);
	lg->n_workers++;
	return new;
}

/* Answers */

static void answer_reset(struct answer *answer)
{
	answer->len = 0;
	answer->received = 0;
	answer->head_len = 0;
	memset(answer->tail, 0, sizeof(answer->tail));
}

/* The value of a header of @head, without the blanks around it; NULL when there is none. */
static const char *header_value(const char *head, const char *line_start, size_t *ret_len)
{
	const char *value = strcasestr(head, line_start);

	if (!value)
		return NULL;
	value += strlen(line_start);
	value += strspn(value, " \t");
	*ret_len = strcspn(value, "\r\n");
	while (*ret_len > 0 && isspace((unsigned char)value[*ret_len - 1]))
		(*ret_len)--;
	return value;
}

static bool header_is(const char *head, const char *line_start, const char *value)
{
	size_t len;
	const char *found = header_value(head, line_start, &len);

	return found && len == strlen(value) && strncasecmp(found, value, len) == 0;
}

/* Reads the head once it is whole; afterwards the text up to the body ends with a NUL. */
static enum answer_state answer_read_head(struct answer *answer)
{
	char *end = memmem(answer->text, answer->len, "\r\n\r\n", 4);
	const char *value;
	size_t len;

	if (!end)
		return answer->len == ANSWER_MAX ? ANSWER_BAD : ANSWER_PART;
	end[2] = '\0';
	answer->head_len = (size_t)(end - answer->text) + 4;
	if (strncmp(answer->text, "HTTP/1.", 7) != 0 || strncmp(answer->text + 8, " 200", 4) != 0)
		return ANSWER_BAD;

	value = header_value(answer->text, "\r\nContent-Length:", &len);
	answer->body_len = value ? strtoll(value, NULL, 10) : -1;
	answer->chunked = header_is(answer->text, "\r\nTransfer-Encoding:", "chunked");
	answer->last_on_line = header_is(answer->text, "\r\nConnection:", "close");
	if (answer->text[7] == '0')
		answer->last_on_line = !header_is(answer->text, "\r\nConnection:", "keep-alive");
	return ANSWER_PART;
}

/*
 * A chunked body is taken to be whole when what came so far ends with the last chunk: exact unless
 * a chunk carries those very bytes at the end of a segment.
 */
static bool answer_ends_with_last_chunk(const struct answer *answer)
{
	return memcmp(answer->tail, "\r\n0\r\n\r\n", 7) == 0;
}

static enum answer_state answer_check(const struct answer *answer)
{
	uint64_t body = answer->received - answer->head_len;

	if (answer->chunked)
		return answer_ends_with_last_chunk(answer) ? ANSWER_WHOLE : ANSWER_PART;
	if (answer->body_len >= 0 && body >= (uint64_t)answer->body_len)
		return ANSWER_WHOLE;
	return ANSWER_PART;
}

static enum answer_state answer_add(struct answer *answer, const char *data, size_t len)
{
	size_t space = ANSWER_MAX - answer->len, keep = len < space ? len : space;
	size_t tail = len < sizeof(answer->tail) ? len : sizeof(answer->tail);

	memcpy(answer->text + answer->len, data, keep);
	answer->len += keep;
	answer->text[answer->len] = '\0';
	answer->received += len;
	memmove(answer->tail, answer->tail + tail, sizeof(answer->tail) - tail);
	memcpy(answer->tail + sizeof(answer->tail) - tail, data + len - tail, tail);
	if (answer->head_len == 0 && answer_read_head(answer) == ANSWER_BAD)
		return ANSWER_BAD;
	return answer->head_len ? answer_check(answer) : ANSWER_PART;
}

/* Without Content-Length and chunks the end of the connection is the end of the answer. */
static bool answer_ends_at_eof(const struct answer *answer)
{
	return answer->head_len && answer->body_len < 0 && !answer->chunked;
}

/* Who answered: the header X-Worker, or the first bytes of the body. */
static const char *answer_worker(const struct answer *answer, size_t *ret_len)
{
	const char *id = header_value(answer->text, "\r\nX-Worker:", ret_len);

	if (id)
		return id;
	id = answer->text + answer->head_len;
	if (answer->chunked) {
		id += strcspn(id, "\n");
		id += *id != '\0';
	}
	id += strspn(id, " \t\r\n");
	*ret_len = strnlen(id, WORKER_ID_MAX);
	if (answer->chunked)
		*ret_len = strcspn(id, "\r\n");
	while (*ret_len > 0 && isspace((unsigned char)id[*ret_len - 1]))
		(*ret_len)--;
	return id;
}

/* Connections */

static enum outcome outcome_of_errno(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return OUTCOME_REFUSED;
	case ECONNRESET:
	case EPIPE:
		return OUTCOME_RESET;
	case ETIMEDOUT:
		return OUTCOME_TIMEOUT;
	default:
		return OUTCOME_LOCAL_ERROR;
	}
}

static struct connection *connection_new(struct loadgen *lg)
{
	struct connection *connection = SLIST_FIRST(&lg->unused);

	if (connection)
		SLIST_REMOVE_HEAD(&lg->unused, unused);
	else
		connection = &lg->pool[lg->pool_touched++];
	connection->worker = NULL;
	connection->answers = 0;
	connection->sent = 0;
	connection->fd = -1;
	connection->watched = 0;
	connection->held = false;
	answer_reset(&connection->answer);
	return connection;
}

static void connection_log(struct loadgen *lg, const struct connection *connection, uint64_t end_us,
                           enum outcome outcome)
{
	fprintf(lg->log, "%" PRIu64 " %" PRIu64 " %td %s %s\n", connection->begin_us, end_us,
	        connection->target - lg->targets, connection->worker ? connection->worker->id : "-",
	        outcome_names[outcome]);
}

static void connection_close(struct loadgen *lg, struct connection *connection)
{
	const struct linger at_once = {.l_onoff = 1};

	if (connection->fd < 0)
		return;
	if (lg->options->linger0)
		setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(connection->fd);
}

/* The only way out for a connection: every one that was begun is counted here, once. */
static void connection_finish(struct loadgen *lg, struct connection *connection,
                              enum outcome outcome)
{
	uint64_t end_us = now_us();

	lg->outcomes[outcome]++;
	if (outcome == OUTCOME_OK) {
		if (!connection->worker)
			connection->worker = worker_get(lg, "", 0);
		connection->worker->connections++;
	}
	if (lg->log)
		connection_log(lg, connection, end_us, outcome);
	if (connection->held) {
		lg->held--;
	} else {
		lg->in_flight--;
		lg->settled_us = end_us;
		TAILQ_REMOVE(&lg->waiting, connection, waiting);
	}
	connection_close(lg, connection);
	connection->held = false;
	SLIST_INSERT_HEAD(&lg->unused, connection, unused);
}

static void connection_fail(struct loadgen *lg, struct connection *connection, const char *what,
                            int error)
{
	enum outcome outcome = outcome_of_errno(error);

	if (outcome == OUTCOME_LOCAL_ERROR && lg->outcomes[outcome] == 0 && !lg->options->quiet) {
		errno = error;
		warn("%s %s (the first local error)", what, connection->target->name);
	}
	connection_finish(lg, connection, outcome);
}

/* Returns 0 or -errno. */
static int connection_watch(struct loadgen *lg, struct connection *connection, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = connection};

	if (connection->watched == events)
		return 0;
	if (epoll_ctl(lg->epoll, connection->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
	              connection->fd, &event) < 0)
		return -errno;
	connection->watched = events;
	return 0;
}

static void connection_hold(struct loadgen *lg, struct connection *connection)
{
	TAILQ_REMOVE(&lg->waiting, connection, waiting);
	connection->held = true;
	lg->held++;
	lg->in_flight--;
	lg->settled_us = now_us();
}

/*
 * Sends what is left of the request. On loopback the handshake is over when connect() returns, so
 * that this succeeds at once and costs no wakeup; else EAGAIN says to wait.
 */
static void connection_send(struct loadgen *lg, struct connection *connection)
{
	const struct target *target = connection->target;
	uint32_t events = EPOLLIN;
	int r;

	while (connection->sent < target->request_len) {
		ssize_t n = send(connection->fd, target->request + connection->sent,
		                 target->request_len - connection->sent, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN) {
			connection_fail(lg, connection, "send to", errno);
			return;
		}
		if (n < 0)
			break;
		connection->sent += (size_t)n;
	}
	if (connection->sent < target->request_len || target->request_len == 0)
		events |= EPOLLOUT;
	r = connection_watch(lg, connection, events);
	if (r < 0)
		connection_fail(lg, connection, "epoll for", -r);
}

/* With an empty request there is no answer to wait for: to be connected is enough. */
static void connection_connected(struct loadgen *lg, struct connection *connection)
{
	int error = 0, r;
	socklen_t len = sizeof(error);

	if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error) {
		connection_fail(lg, connection, "connect to", error);
		return;
	}
	latency_add(&lg->latency, now_us() - connection->begin_us);
	if (!lg->options->hold) {
		connection_finish(lg, connection, OUTCOME_OK);
		return;
	}
	r = connection_watch(lg, connection, EPOLLIN);
	if (r < 0)
		connection_fail(lg, connection, "epoll for", -r);
	else
		connection_hold(lg, connection);
}

static void connection_answered(struct loadgen *lg, struct connection *connection)
{
	const struct options *options = lg->options;
	struct answer *answer = &connection->answer;
	uint64_t now = now_us();

	lg->answers++;
	connection->answers++;
	latency_add(&lg->latency, now - connection->asked_us);
	if (!connection->worker) {
		size_t len;
		const char *id = answer_worker(answer, &len);

		connection->worker = worker_get(lg, id, len);
	}
	if (options->hold) {
		connection_hold(lg, connection);
	} else if (connection->answers < options->keepalive && !answer->last_on_line &&
	           !lg->stopping) {
		answer_reset(answer);
		connection->sent = 0;
		connection->asked_us = now;
		TAILQ_REMOVE(&lg->waiting, connection, waiting);
		TAILQ_INSERT_TAIL(&lg->waiting, connection, waiting);
		connection_send(lg, connection);
	} else {
		connection_finish(lg, connection, OUTCOME_OK);
	}
}

static void connection_receive(struct loadgen *lg, struct connection *connection)
{
	ssize_t n = recv(connection->fd, lg->scratch, sizeof(lg->scratch), 0);

	if (n < 0) {
		if (errno != EAGAIN)
			connection_fail(lg, connection, "receive from", errno);
		return;
	}
	if (connection->held) {
		if (n == 0)
			connection_finish(lg, connection, OUTCOME_CLOSED_EARLY);
		return;
	}
	if (n == 0) {
		if (answer_ends_at_eof(&connection->answer) && !lg->options->hold)
			connection_answered(lg, connection);
		else
			connection_finish(lg, connection, OUTCOME_CLOSED_EARLY);
		return;
	}
	switch (answer_add(&connection->answer, lg->scratch, (size_t)n)) {
	case ANSWER_PART:
		break;
	case ANSWER_WHOLE:
		connection_answered(lg, connection);
		break;
	case ANSWER_BAD:
		connection_finish(lg, connection, OUTCOME_BAD_ANSWER);
		break;
	}
}

static void connection_ready(struct loadgen *lg, struct connection *connection, uint32_t events)
{
	bool connecting = connection->target->request_len == 0 && !connection->held;

	if (connecting)
		connection_connected(lg, connection);
	else if (events & ~(uint32_t)EPOLLOUT)
		connection_receive(lg, connection);
	else
		connection_send(lg, connection);
}

/* Returns a descriptor whose connect() is under way, or -errno. */
static int connect_from(const struct target *target, const struct address *source)
{
	const int on = 1;
	int fd, error;

	fd = socket(target->address.any.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (source) {
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		if (bind(fd, (const struct sockaddr *)&source->any, source->len) < 0)
			goto fail;
	}
	if (connect(fd, (const struct sockaddr *)&target->address.any, target->address.len) == 0 ||
	    errno == EINPROGRESS)
		return fd;
fail:
	error = errno;
	close(fd);
	return -error;
}

/* A source address whose ports are used up is passed over for the next one. */
static int connect_to(struct target *target)
{
	const struct addresses *sources = &target->sources;
	size_t tries = sources->n;
	int fd;

	if (sources->n == 0)
		return connect_from(target, NULL);
	do {
		fd = connect_from(target, &sources->list[target->source_turn++ % sources->n]);
	} while (fd == -EADDRNOTAVAIL && --tries > 0);
	return fd;
}

static void connection_begin(struct loadgen *lg)
{
	struct connection *connection = connection_new(lg);

	connection->target = &lg->targets[lg->begun++ % lg->options->targets.n];
	connection->begin_us = connection->asked_us = now_us();
	lg->in_flight++;
	TAILQ_INSERT_TAIL(&lg->waiting, connection, waiting);
	connection->fd = connect_to(connection->target);
	if (connection->fd < 0)
		connection_fail(lg, connection, "connect to", -connection->fd);
	else
		connection_send(lg, connection);
}

/* The run */

static bool all_begun(const struct loadgen *lg)
{
	return lg->stopping || (lg->options->connections && lg->begun >= lg->options->connections);
}

/* When the next connection is due, or UINT64_MAX when none may begin now. */
static uint64_t next_begin_us(const struct loadgen *lg)
{
	const struct options *options = lg->options;

	if (all_begun(lg) || lg->in_flight >= options->concurrency)
		return UINT64_MAX;
	if (options->rate <= 0)
		return lg->start_us;
	return lg->start_us + (uint64_t)((double)lg->begun * 1e6 / options->rate);
}

static uint64_t end_of_duration_us(const struct loadgen *lg)
{
	if (lg->options->duration <= 0 || lg->stopping)
		return UINT64_MAX;
	return lg->start_us + (uint64_t)(lg->options->duration * 1e6);
}

/* Bounded, so that signals are seen even when every connection fails at once. */
static void begin_due(struct loadgen *lg)
{
	uint64_t now = now_us();

	if (now >= end_of_duration_us(lg))
		lg->stopping = true;
	for (uint64_t i = 0; i < lg->options->concurrency && next_begin_us(lg) <= now; i++)
		connection_begin(lg);
}

static void expire(struct loadgen *lg)
{
	uint64_t now = now_us();
	struct connection *first;

	while ((first = TAILQ_FIRST(&lg->waiting)) &&
	       now >= first->asked_us + lg->options->timeout_us)
		connection_finish(lg, first, OUTCOME_TIMEOUT);
}

static void announce_hold(struct loadgen *lg)
{
	if (!lg->options->hold || lg->hold_announced || !all_begun(lg) || lg->in_flight)
		return;
	lg->hold_announced = true;
	printf("holding %" PRIu64 "\n", lg->held);
	fflush(stdout);
}

static void release_held(struct loadgen *lg)
{
	for (size_t i = 0; i < lg->pool_touched; i++) {
		if (lg->pool[i].held)
			connection_finish(lg, &lg->pool[i], OUTCOME_OK);
	}
}

static bool run_is_over(const struct loadgen *lg)
{
	return all_begun(lg) && lg->in_flight == 0 && (lg->stopping || !lg->options->hold);
}

static int wait_for_events(struct loadgen *lg, struct epoll_event *events)
{
	const struct connection *first = TAILQ_FIRST(&lg->waiting);
	uint64_t now = now_us(), wake = next_begin_us(lg);
	uint64_t expiry = first ? first->asked_us + lg->options->timeout_us : UINT64_MAX;
	uint64_t end = end_of_duration_us(lg);
	struct timespec timeout = {0};

	wake = expiry < wake ? expiry : wake;
	wake = end < wake ? end : wake;
	if (wake > now) {
		timeout.tv_sec = (time_t)((wake - now) / 1000000);
		timeout.tv_nsec = (long)((wake - now) % 1000000) * 1000;
	}
	return epoll_pwait2(lg->epoll, events, EVENTS_MAX, wake == UINT64_MAX ? NULL : &timeout,
	                    NULL);
}

static void signal_ready(struct loadgen *lg)
{
	struct signalfd_siginfo info;

	if (read(lg->signals, &info, sizeof(info)) == sizeof(info))
		lg->stopping = true;
}

static void stdin_ready(struct loadgen *lg)
{
	ssize_t n = read(STDIN_FILENO, lg->scratch, sizeof(lg->scratch));

	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	lg->stopping = true;
	epoll_ctl(lg->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
}

static void dispatch(struct loadgen *lg, const struct epoll_event *event)
{
	if (event->data.ptr == &lg->signals)
		signal_ready(lg);
	else if (event->data.ptr == stdin)
		stdin_ready(lg);
	else
		connection_ready(lg, event->data.ptr, event->events);
}

static void run(struct loadgen *lg)
{
	struct epoll_event events[EVENTS_MAX];

	lg->start_us = lg->settled_us = now_us();
	while (!run_is_over(lg)) {
		int n;

		begin_due(lg);
		announce_hold(lg);
		if (run_is_over(lg))
			break;
		n = wait_for_events(lg, events);
		if (n < 0 && errno != EINTR)
			err(EXIT_FAILED, "epoll_pwait2");
		for (int i = 0; i < n; i++)
			dispatch(lg, &events[i]);
		expire(lg);
	}
	release_held(lg);
}

/* The report */

static uint64_t failed(const struct loadgen *lg)
{
	return lg->begun - lg->outcomes[OUTCOME_OK];
}

static double seconds(const struct loadgen *lg)
{
	return (double)(lg->settled_us - lg->start_us) / 1e6;
}

static double per_second(const struct loadgen *lg)
{
	return lg->settled_us > lg->start_us ? (double)lg->outcomes[OUTCOME_OK] / seconds(lg) : 0;
}

static void add_count(json_object *object, const char *name, uint64_t value)
{
	json_object_object_add(object, name, json_object_new_uint64(value));
}

/* json-c would print 17 digits of a double. */
static void add_decimal(json_object *object, const char *name, double value, const char *format)
{
	json_object *number = json_object_new_double(value);

	json_object_set_serializer(number, json_object_double_to_json_string, strdup(format),
	                           json_object_free_userdata);
	json_object_object_add(object, name, number);
}

static void add_worker(const void *node, VISIT visit, void *object)
{
	const struct worker *worker = *(const struct worker *const *)node;

	if (visit == postorder || visit == leaf)
		add_count(object, worker->id, worker->connections);
}

static void report_json(const struct loadgen *lg)
{
	json_object *root = json_object_new_object(), *latency = json_object_new_object();
	json_object *workers = json_object_new_object();

	add_count(root, "begun", lg->begun);
	add_count(root, "ok", lg->outcomes[OUTCOME_OK]);
	add_count(root, "failed", failed(lg));
	for (int i = OUTCOME_OK + 1; i < OUTCOME_MAX; i++)
		add_count(root, outcome_names[i], lg->outcomes[i]);
	add_count(root, "answers", lg->answers);
	add_decimal(root, "seconds", seconds(lg), "%.6f");
	add_decimal(root, "connections_per_second", per_second(lg), "%.1f");
	add_count(latency, "p50", latency_quantile(&lg->latency, 0.50));
	add_count(latency, "p99", latency_quantile(&lg->latency, 0.99));
	add_count(latency, "max", lg->latency.max);
	json_object_object_add(root, "latency_us", latency);
	twalk_r(lg->workers, add_worker, workers);
	json_object_object_add(root, "workers", workers);
	puts(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN));
	json_object_put(root);
}

static void print_count(const char *name, uint64_t value)
{
	printf("%-22s %12" PRIu64 "\n", name, value);
}

static void print_worker(const void *node, VISIT visit, void *unused)
{
	const struct worker *worker = *(const struct worker *const *)node;

	(void)unused;
	if (visit == postorder || visit == leaf)
		printf("worker %-15s %12" PRIu64 "\n", worker->id, worker->connections);
}

static void report_text(const struct loadgen *lg)
{
	print_count("begun", lg->begun);
	print_count("ok", lg->outcomes[OUTCOME_OK]);
	print_count("failed", failed(lg));
	for (int i = OUTCOME_OK + 1; i < OUTCOME_MAX; i++)
		print_count(outcome_names[i], lg->outcomes[i]);
	print_count("answers", lg->answers);
	printf("%-22s %12.3f\n", "seconds", seconds(lg));
	printf("%-22s %12.1f\n", "connections per second", per_second(lg));
	print_count("latency p50, us", latency_quantile(&lg->latency, 0.50));
	print_count("latency p99, us", latency_quantile(&lg->latency, 0.99));
	print_count("latency max, us", lg->latency.max);
	twalk_r(lg->workers, print_worker, NULL);
}

/* Options */

enum {
	OPT_TIMEOUT = 0x100,
	OPT_REQUEST,
	OPT_HOLD,
	OPT_KEEPALIVE,
	OPT_SOURCE,
	OPT_LINGER0,
	OPT_LOG,
	OPT_JSON,
};

static const struct argp_option option_table[] = {
        {"target", 't', "ADDR:PORT", 0,
         "Where to connect; [ADDR]:PORT for IPv6. Repeatable: connections take the targets in "
         "turn"},
        {"connections", 'n', "N", 0, "How many to begin in all (default 0: until stopped)"},
        {"concurrency", 'c', "C", 0, "How many may wait for an answer at once (default 64)"},
        {"rate", 'r', "R", 0, "Connections a second (default 0: as fast as the machine gives)"},
        {"duration", 'd', "S", 0, "Stop after S seconds, as a signal would"},
        {"timeout", OPT_TIMEOUT, "MS", 0,
         "Longest wait for an answer, from the begin of the connection (or of a later request) "
         "(default 5000)"},
        {"request", OPT_REQUEST, "TEXT", 0,
         "What to send, as it stands (default: GET / with Host, and with \"Connection: close\" "
         "unless --hold or --keepalive). Empty: send nothing, and a connection is ok as soon as "
         "it is established"},
        {"hold", OPT_HOLD, 0, 0,
         "Keep every connection open after its first answer; print \"holding N\" when all are "
         "settled; close them on a signal, at the end of --duration, or at the end of standard "
         "input if that is a pipe, socket or terminal. One that the server ends before is "
         "closed_early or reset"},
        {"keepalive", OPT_KEEPALIVE, "K", 0,
         "K requests on each connection; fewer, and still ok, if the server says \"Connection: "
         "close\""},
        {"source", OPT_SOURCE, "ADDR", 0,
         "Connect from this address. Repeatable: in turn (default: the kernel's choice, but "
         "127.0.0.1 to 127.0.0.16 for IPv4 loopback targets)"},
        {"linger0", OPT_LINGER0, 0, 0, "Close by RST, which leaves no TIME_WAIT"},
        {"log", OPT_LOG, "FILE", 0,
         "A line for each finished connection: start and end (CLOCK_MONOTONIC, us), index of the "
         "target, worker, outcome"},
        {"json", OPT_JSON, 0, 0, "Report as one line of JSON"},
        {"quiet", 'q', 0, 0, "No report but that of --json, no hints"},
        {0},
};

static double parse_number(const char *text, const char *what, double min, double max,
                           struct argp_state *state)
{
	char *end;
	double value;

	errno = 0;
	value = strtod(text, &end);
	if (errno || end == text || *end || !(value >= min && value <= max))
		argp_error(state, "%s: %s is not a number from %.0f to %.0f", what, text, min, max);
	return value;
}

static uint64_t parse_count(const char *text, const char *what, double min,
                            struct argp_state *state)
{
	return (uint64_t)parse_number(text, what, min, 1e15, state);
}

static void parse_target(struct options *options, char *text, struct argp_state *state)
{
	struct address address;

	if (!address_parse_with_port(text, &address))
		argp_error(state, "target: %s is not ADDR:PORT or [ADDR]:PORT", text);
	addresses_add(&options->targets, &address);
	options->target_names = reallocarray(options->target_names, options->targets.n,
	                                     sizeof(*options->target_names));
	if (!options->target_names)
		err(EXIT_FAILED, "targets");
	options->target_names[options->targets.n - 1] = text;
}

static void parse_source(struct options *options, const char *text, struct argp_state *state)
{
	struct address address;

	if (!address_resolve(text, NULL, &address))
		argp_error(state, "source: %s is not an address", text);
	addresses_add(&options->sources, &address);
}

static void check_options(const struct options *options, struct argp_state *state)
{
	if (options->targets.n == 0)
		argp_error(state, "where to? Name a --target");
	if (options->hold && options->connections == 0)
		argp_error(state, "--hold needs --connections");
	if (options->hold && options->keepalive > 1)
		argp_error(state, "--hold and --keepalive exclude each other");
	if (options->keepalive > 1 && options->request && !options->request[0])
		argp_error(state, "--keepalive needs a request");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 't':
		parse_target(options, arg, state);
		return 0;
	case 'n':
		options->connections = parse_count(arg, "connections", 0, state);
		return 0;
	case 'c':
		options->concurrency = parse_count(arg, "concurrency", 1, state);
		return 0;
	case 'r':
		options->rate = parse_number(arg, "rate", 0, 1e6, state);
		return 0;
	case 'd':
		options->duration = parse_number(arg, "duration", 0, 1e9, state);
		return 0;
	case OPT_TIMEOUT:
		options->timeout_us = parse_count(arg, "timeout", 1, state) * 1000;
		return 0;
	case OPT_REQUEST:
		options->request = arg;
		return 0;
	case OPT_HOLD:
		options->hold = true;
		return 0;
	case OPT_KEEPALIVE:
		options->keepalive = parse_count(arg, "keepalive", 1, state);
		return 0;
	case OPT_SOURCE:
		parse_source(options, arg, state);
		return 0;
	case OPT_LINGER0:
		options->linger0 = true;
		return 0;
	case OPT_LOG:
		options->log = arg;
		return 0;
	case OPT_JSON:
		options->json = true;
		return 0;
	case 'q':
		options->quiet = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "%s: what is that?", arg);
		return 0;
	case ARGP_KEY_END:
		check_options(options, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
        .options = option_table,
        .parser = parse_option,
        .doc = "Opens TCP connections, asks an HTTP question on each, and counts how every one of "
               "them ended and which worker answered it (header X-Worker, else the body).\v"
               "Outcomes: ok, refused, reset, timeout, closed_early (end before a whole answer), "
               "bad_answer (no HTTP, or a status that is not 200), local_error (no port, no route, "
               "...: a fault of this side). SIGTERM and SIGINT: begin nothing more, let the "
               "connections in flight finish, report.\n\n"
               "Exit status: 0 if none failed, 1 if any did, 2 for bad usage.",
};

/* Set-up */

static void target_set_request(struct target *target, const struct options *options)
{
	bool close_after = !options->hold && options->keepalive == 1;
	int n;

	if (options->request)
		n = asprintf(&target->request, "%s", options->request);
	else
		n = asprintf(&target->request, "GET / HTTP/1.1\r\nHost: %s\r\n%s\r\n", target->name,
		             close_after ? "Connection: close\r\n" : "");
	if (n < 0)
		err(EXIT_FAILED, "request");
	target->request_len = (size_t)n;
}

static void target_set_sources(struct target *target, const struct options *options)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&target->address.any;

	for (size_t i = 0; i < options->sources.n; i++) {
		const struct address *source = &options->sources.list[i];

		if (source->any.ss_family == target->address.any.ss_family)
			addresses_add(&target->sources, source);
	}
	if (options->sources.n && !target->sources.n)
		errx(EXIT_USAGE, "target %s: no --source is of its family", target->name);
	if (options->sources.n || in->sin_family != AF_INET ||
	    ntohl(in->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
		return;
	for (uint32_t i = 0; i < LOOPBACK_SOURCES; i++) {
		struct address source = {.len = sizeof(*in)};
		struct sockaddr_in *address = (struct sockaddr_in *)&source.any;

		address->sin_family = AF_INET;
		address->sin_addr.s_addr = htonl(INADDR_LOOPBACK + i);
		addresses_add(&target->sources, &source);
	}
}

static void init_targets(struct loadgen *lg)
{
	const struct options *options = lg->options;

	lg->targets = calloc(options->targets.n, sizeof(*lg->targets));
	if (!lg->targets)
		err(EXIT_FAILED, "targets");
	for (size_t i = 0; i < options->targets.n; i++) {
		lg->targets[i].name = options->target_names[i];
		lg->targets[i].address = options->targets.list[i];
		target_set_request(&lg->targets[i], options);
		target_set_sources(&lg->targets[i], options);
	}
}

/* Room for the connections that are open at once, and leave to have as many descriptors. */
static void init_pool(struct loadgen *lg)
{
	const struct options *options = lg->options;
	struct rlimit limit;

	lg->pool_size = options->hold ? options->connections : options->concurrency;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(EXIT_FAILED, "getrlimit");
	if (lg->pool_size + SPARE_FDS > limit.rlim_max)
		errx(EXIT_USAGE, "%zu connections at once: this process may have %ju descriptors",
		     lg->pool_size, (uintmax_t)limit.rlim_max);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(EXIT_FAILED, "setrlimit");
	lg->pool = calloc(lg->pool_size, sizeof(*lg->pool));
	if (!lg->pool)
		err(EXIT_FAILED, "%zu connections", lg->pool_size);
}

static void init_events(struct loadgen *lg)
{
	struct epoll_event on_signal = {.events = EPOLLIN, .data.ptr = &lg->signals};
	struct epoll_event on_stdin = {.events = EPOLLIN, .data.ptr = stdin};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	lg->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	lg->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (lg->signals < 0 || lg->epoll < 0 ||
	    epoll_ctl(lg->epoll, EPOLL_CTL_ADD, lg->signals, &on_signal) < 0)
		err(EXIT_FAILED, "signals");
	/* A file or /dev/null can't be waited for (EPERM): then only a signal ends the hold. */
	if (lg->options->hold && epoll_ctl(lg->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &on_stdin) < 0 &&
	    errno != EPERM && errno != EBADF)
		err(EXIT_FAILED, "standard input");
}

static void loadgen_init(struct loadgen *lg, const struct options *options)
{
	lg->options = options;
	SLIST_INIT(&lg->unused);
	TAILQ_INIT(&lg->waiting);
	init_targets(lg);
	init_pool(lg);
	init_events(lg);
	if (options->log) {
		lg->log = fopen(options->log, "we");
		if (!lg->log)
			err(EXIT_FAILED, "log %s", options->log);
	}
}

/* Returns false when the log could not be written. */
static bool loadgen_deinit(struct loadgen *lg)
{
	bool written = true;

	if (lg->log) {
		written = !ferror(lg->log);
		written = fclose(lg->log) == 0 && written;
	}
	for (size_t i = 0; i < lg->options->targets.n; i++) {
		free(lg->targets[i].request);
		free(lg->targets[i].sources.list);
	}
	free(lg->targets);
	free(lg->pool);
	tdestroy(lg->workers, free);
	close(lg->signals);
	close(lg->epoll);
	return written;
}

int main(int argc, char **argv)
{
	static struct loadgen lg;
	struct options options = {
	        .concurrency = 64,
	        .keepalive = 1,
	        .timeout_us = 5000000,
	};
	int status;

	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&parser, argc, argv, 0, NULL, &options);
	loadgen_init(&lg, &options);
	run(&lg);
	if (options.json)
		report_json(&lg);
	else if (!options.quiet)
		report_text(&lg);
	status = failed(&lg) ? EXIT_FAILED : EXIT_ALL_OK;
	if (!loadgen_deinit(&lg)) {
		warnx("log %s: not all of it could be written", options.log);
		status = EXIT_FAILED;
	}
	free(options.targets.list);
	free(options.target_names);
	free(options.sources.list);
	return status;
}
