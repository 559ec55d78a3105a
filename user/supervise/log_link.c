/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/log_link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "kern/cgroup.h"
#include "kern/spawn.h"
#include "stream/log_message.h"
#include "supervise/channel.h"
#include "supervise/log_fifo.h"
#include "supervise/log_link_worker.h"
#include "supervise/log_watch.h"
#include "supervise/report.h"
#include "supervise/supervisor_request.h"

#define TAIL_MS 300
/* How long the log process may take to write what is left; it gives up by itself before. */
#define END_NS (15 * NS_PER_S)
/* After a log process that ended soon, the next one is started after a pause. */
#define SOON_NS      (10 * NS_PER_S)
#define PAUSE_MIN_NS (NS_PER_S / 10)
#define PAUSE_MAX_NS (5 * NS_PER_S)
/* Room for messages about all workers. */
#define ROOM_BYTES (16 << 20)

struct log_link {
	struct supervisor *sup;
	int cgroup_fd, events_fd;
	sd_event_source *on_cgroup;
	int fd;     /* -1: no log process of ours runs */
	int dir_fd; /* the new run directory, until it is sent; -1: none */
	sd_event_source *on_message;
	sd_event_source *timer; /* of the pause, or of the end */
	int64_t started_at, pause;
	struct log_link_worker *workers;
	bool slow; /* an answer is late */
	bool ending, killed, ended;
	struct log_message_tail tail;
};

/* --- messages */

static int log_link_send_dir(struct log_link *link)
{
	const struct log_message message = {.kind = LOG_MESSAGE_MOVE};
	const int fds[LOG_MESSAGE_FDS] = {link->dir_fd, -1, -1};
	const int r = link->dir_fd < 0 ? 0 : log_message_send(link->fd, &message, fds);

	if (r == 0) {
		cleanup_close(&link->dir_fd);
		link->dir_fd = -1;
	}
	return r;
}

static bool log_link_wait(struct log_link *link)
{
	sd_event_source_set_io_events(link->on_message, EPOLLIN | EPOLLOUT);
	return false;
}

/* Sends what the log process doesn't know yet, as much as it accepts now. Returns whether that was
 * all. */
static bool log_link_flush(struct log_link *link)
{
	struct log_link_worker **at = &link->workers;

	if (link->fd < 0)
		return false;
	if (log_link_send_dir(link) < 0)
		return log_link_wait(link);
	while (*at) {
		if (log_link_worker_send(*at, link->fd, link->sup->name) < 0)
			return log_link_wait(link);
		if ((*at)->gone)
			log_link_worker_free(at);
		else
			at = &(*at)->next;
	}
	sd_event_source_set_io_events(link->on_message, EPOLLIN);
	if (link->ending)
		shutdown(link->fd, SHUT_WR);
	return true;
}

/* --- the process */

static int log_link_on_message(sd_event_source *source, int fd, uint32_t events, void *data);

/* `stop` without a supervisor leaves its standard output to its answer. */
static int log_link_spawn(struct log_link *link, int socket, int dir, struct error *err)
{
	static char *const env[] = {NULL};
	char *const argv[] = {"reuseportd", "log-process", link->sup->name, NULL};
	const struct spawn_fd fds[] = {{socket, LOG_MESSAGE_FD},
	                               {dir, LOG_MESSAGE_DIR_FD},
	                               {log_watch_fd(link->sup), LOG_MESSAGE_WATCH_FD},
	                               {STDERR_FILENO, STDOUT_FILENO}};
	const struct spawn_request request = {
	        .program = "/proc/self/exe",
	        .argv = argv,
	        .env = env,
	        .cgroup = link->cgroup_fd,
	        .fds = fds,
	        .n_fds = link->sup->request->stop ? 4 : 3,
	};
	_cleanup_close_ int pidfd = -1;
	int r = spawn_start(&request, &pidfd, err);

	if (r > 0)
		log_watch_begin(link->sup, (uint32_t)r);
	return r < 0 ? r : 0;
}

/* Closes our end: there is no log process. */
static void log_link_drop(struct log_link *link)
{
	link->on_message = sd_event_source_disable_unref(link->on_message);
	cleanup_close(&link->fd);
	link->fd = -1;
}

/* All descriptors are sent before the process starts, because it ends the log process before it: if
 * we are killed then, the workers do not lose their channels. */
static int log_link_start(struct log_link *link, struct error *err)
{
	_cleanup_close_ int dir = open(link->sup->run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int theirs = -1;
	int pair[2], r, room = ROOM_BYTES;

	if (dir < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return error_set(err, -errno, "can't start the log process: %s", strerror(errno));
	link->fd = pair[0];
	theirs = pair[1];
	setsockopt(link->fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	r = sd_event_add_io(link->sup->all->loop, &link->on_message, link->fd, EPOLLIN,
	                    log_link_on_message, link);
	if (r < 0) {
		log_link_drop(link);
		return error_set(err, r, "can't watch the log process: %s", strerror(-r));
	}
	link->slow = false;
	for (struct log_link_worker *it = link->workers; it; it = it->next)
		it->sent = false;
	for (struct log_link_worker *it = link->workers; it; it = it->next)
		if (log_link_worker_send(it, link->fd, link->sup->name) < 0)
			break;
	r = log_link_spawn(link, theirs, dir, err);
	if (r < 0) {
		log_link_drop(link);
		return r;
	}
	link->started_at = clock_ns(CLOCK_MONOTONIC);
	log_link_flush(link);
	return 0;
}

static int log_link_on_pause_over(sd_event_source *source, uint64_t now, void *data);

static void log_link_start_later(struct log_link *link)
{
	const bool soon = clock_ns(CLOCK_MONOTONIC) - link->started_at < SOON_NS;

	link->timer = sd_event_source_disable_unref(link->timer);
	sd_event_add_time_relative(link->sup->all->loop, &link->timer, CLOCK_MONOTONIC,
	                           soon ? link->pause / 1000 : 0, 1, log_link_on_pause_over, link);
	link->pause = !soon ? 0 : link->pause == 0 ? PAUSE_MIN_NS : 2 * link->pause;
	if (link->pause > PAUSE_MAX_NS)
		link->pause = PAUSE_MAX_NS;
}

static int log_link_on_pause_over(sd_event_source *source, uint64_t now, void *data)
{
	struct log_link *link = data;
	struct error err = {};

	link->timer = sd_event_source_disable_unref(link->timer);
	if (log_link_start(link, &err) == 0)
		return 0;
	report_line(link->sup, "%s", err.text);
	link->started_at = clock_ns(CLOCK_MONOTONIC);
	log_link_start_later(link);
	return 0;
}

static void log_link_check_end(struct log_link *link)
{
	if (!link->ending || link->ended || link->fd >= 0 || cgroup_is_populated(link->events_fd))
		return;
	link->ended = true;
	link->timer = sd_event_source_disable_unref(link->timer);
	report_change(link->sup);
}

/* The log process has closed its end. */
static void log_link_lose(struct log_link *link)
{
	log_link_drop(link);
	if (link->ending) {
		log_link_check_end(link);
		return;
	}
	report_line(link->sup, "the log process has ended: it is started again");
	log_link_start_later(link);
}

static int log_link_on_message(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct log_link *link = data;
	ssize_t n = recv(fd, &link->tail, sizeof(link->tail), MSG_DONTWAIT);

	if (n > 0)
		link->slow = false; /* an answer that was late */
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		log_link_lose(link);
	else if (events & EPOLLOUT)
		log_link_flush(link);
	return 0;
}

static int log_link_on_cgroup(sd_event_source *source, int fd, uint32_t events, void *data)
{
	cgroup_is_populated(fd); /* clears the event */
	log_link_check_end(data);
	return 0;
}

static int log_link_open_cgroup(struct log_link *link, struct error *err)
{
	const char *path = link->sup->cgroup_path;
	int r = link->cgroup_fd = cgroup_open(path, LOG_LINK_CGROUP);

	if (r == -ENOENT)
		r = link->cgroup_fd = cgroup_make(path, LOG_LINK_CGROUP, err);
	if (r >= 0)
		r = link->events_fd = cgroup_open_events(link->cgroup_fd);
	if (r >= 0)
		r = sd_event_add_io(link->sup->all->loop, &link->on_cgroup, link->events_fd,
		                    EPOLLPRI, log_link_on_cgroup, link);
	return r < 0 ? error_set(err, r, "can't watch cgroup %s/" LOG_LINK_CGROUP ": %s", path,
	                         strerror(-r))
	             : 0;
}

/* --- for the supervisor */

static void log_link_add_former(unsigned int slot, unsigned int number, const int fds[2],
                                void *data)
{
	struct log_link *link = data;

	if (!log_link_worker_add(&link->workers, link->sup->plan, slot, number, fds, -1)) {
		close(fds[0]);
		close(fds[1]);
	}
	/* The names are in use for a while. */
	if (link->sup->last_number < number)
		link->sup->last_number = number;
}

static void log_link_add_channel(unsigned int slot, unsigned int number, int fd, void *data)
{
	const struct log_link *link = data;
	struct log_link_worker *it = log_link_worker_find(link->workers, slot, number);

	if (it && it->fds[LOG_MESSAGE_CHANNEL] < 0)
		it->fds[LOG_MESSAGE_CHANNEL] = fd;
	else
		close(fd);
}

/* Its name was deleted. */
static void log_link_add_deleted(unsigned int slot, unsigned int number, int stream, int fd,
                                 void *data)
{
	const struct log_link *link = data;
	struct log_link_worker *it = log_link_worker_find(link->workers, slot, number);
	int fds[2];

	if (!it && log_fifo_make_ended(fds) == 0) {
		log_link_add_former(slot, number, fds, data);
		it = log_link_worker_find(link->workers, slot, number);
	}
	if (!it) {
		close(fd);
		return;
	}
	cleanup_close(&it->fds[stream]);
	it->fds[stream] = fd;
}

/* What only the log process before ours has. */
static void log_link_add_held(struct log_link *link)
{
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n = 0;

	cgroup_list_processes(link->cgroup_fd, &pids, &n);
	for (size_t i = 0; i < n; i++) {
		log_fifo_list_deleted(pids[i], log_link_add_deleted, link);
		channel_list(pids[i], log_link_add_channel, link);
	}
}

int log_link_open(struct supervisor *sup, struct error *err)
{
	struct log_link *link = calloc(1, sizeof(*link));
	int r;

	if (!link)
		return error_set(err, -ENOMEM, "out of memory");
	*link = (struct log_link){
	        .sup = sup, .fd = -1, .dir_fd = -1, .cgroup_fd = -1, .events_fd = -1};
	sup->log = link;
	r = log_link_open_cgroup(link, err);
	if (r < 0 || (sup->request->stop && cgroup_is_populated(link->events_fd)))
		return r;
	/* They are open here before the log process that has them open is ended. */
	log_fifo_list(sup->run_dir, log_link_add_former, link);
	log_link_add_held(link);
	return log_link_start(link, err);
}

int log_link_move(struct supervisor *sup, struct error *err)
{
	struct log_link *link = sup->log;
	const int dir = open(sup->run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return error_set(err, -errno, "can't open %s: %s", sup->run_dir, strerror(errno));
	cleanup_close(&link->dir_fd);
	link->dir_fd = dir;
	log_link_flush(link);
	return 0;
}

int log_link_add(struct worker *w, int ret_fds[2], struct error *err)
{
	struct log_link *link = w->sup->log;
	int fds[2], channel;
	int r = log_fifo_make(w->sup->run_dir, w->slot, w->number, ret_fds, fds, err);

	if (r < 0)
		return r;
	/* -1 without a channel */
	channel = w->channel ? fcntl(channel_fd(w->channel), F_DUPFD_CLOEXEC, 0) : -1;
	if (!log_link_worker_add(&link->workers, w->plan, w->slot, w->number, fds, channel)) {
		cleanup_close(&channel);
		for (int i = 0; i < 2; i++) {
			close(fds[i]);
			close(ret_fds[i]);
		}
		return error_set(err, -ENOMEM, "out of memory");
	}
	log_link_flush(link);
	return 0;
}

int log_link_take_channel(const struct worker *w)
{
	const struct log_link_worker *it =
	        log_link_worker_find(w->sup->log->workers, w->slot, w->number);
	const int channel = it ? it->fds[LOG_MESSAGE_CHANNEL] : -1;

	return channel < 0 ? -1 : fcntl(channel, F_DUPFD_CLOEXEC, 0);
}

static void log_link_set_gone(struct log_link *link, unsigned int slot, unsigned int number)
{
	struct log_link_worker *it = log_link_worker_find(link->workers, slot, number);

	if (it)
		it->gone = true;
	log_link_flush(link);
}

void log_link_note_gone(const struct worker *w)
{
	if (w->sup->log)
		log_link_set_gone(w->sup->log, w->slot, w->number);
}

void log_link_note_former_gone(struct supervisor *sup)
{
	for (struct log_link_worker *it = sup->log->workers; it; it = it->next) {
		const struct worker *w = sup->workers;

		while (w && (w->slot != it->slot || w->number != it->number))
			w = w->next;
		it->gone = !w;
	}
	log_link_flush(sup->log);
}

/* Receives the answer. Returns whether it has come in time. */
static bool log_link_receive_tail(struct log_link *link, const struct worker *w)
{
	const int64_t end = clock_ns(CLOCK_MONOTONIC) + TAIL_MS * 1000000ll;
	struct pollfd ready = {.fd = link->fd, .events = POLLIN};
	int64_t left;

	while ((left = end - clock_ns(CLOCK_MONOTONIC)) > 0) {
		ssize_t n;

		if (poll(&ready, 1, (int)(left / 1000000) + 1) <= 0)
			continue;
		n = recv(link->fd, &link->tail, sizeof(link->tail), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return false; /* log_link_on_message() sees that, too */
		if (n == sizeof(link->tail) && link->tail.slot == w->slot &&
		    link->tail.number == w->number)
			return true;
	}
	return false;
}

const char *log_link_tail(const struct worker *w)
{
	struct log_link *link = w->sup->log;
	const struct log_message message = {
	        .kind = LOG_MESSAGE_TAIL, .slot = w->slot, .number = w->number};

	if (!link || link->slow || !log_link_flush(link) ||
	    log_message_send(link->fd, &message, NULL) < 0)
		return "";
	if (!log_link_receive_tail(link, w)) {
		link->slow = true;
		return "";
	}
	link->tail.text[sizeof(link->tail.text) - 1] = '\0';
	return link->tail.text;
}

static int log_link_on_end_of_time(sd_event_source *source, uint64_t now, void *data)
{
	struct log_link *link = data;

	if (link->killed) { /* the kernel holds it, as worker_give_up() says */
		report_line(link->sup, "the log process has not ended after SIGKILL: it is left");
		link->ended = true;
		report_change(link->sup);
	}
	link->killed = true;
	cgroup_kill(link->cgroup_fd);
	sd_event_source_set_time_relative(source, END_NS / 3000);
	return link->ended ? 0 : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

bool log_link_end(struct supervisor *sup)
{
	struct log_link *link = sup->log;

	if (!link || link->ending)
		return !link || link->ended;
	link->ending = true;
	link->timer = sd_event_source_disable_unref(link->timer);
	sd_event_add_time_relative(sup->all->loop, &link->timer, CLOCK_MONOTONIC, END_NS / 1000, 1,
	                           log_link_on_end_of_time, link);
	if (link->fd < 0 && link->workers) /* it has just died */
		log_link_start(link, NULL);
	log_link_flush(link);
	/* If it was stopped by a signal, it would keep the service until the time is over. */
	cgroup_continue(link->cgroup_fd);
	log_link_check_end(link);
	return link->ended;
}

void log_link_kill(struct supervisor *sup)
{
	if (sup->log && sup->log->ending)
		cgroup_kill(sup->log->cgroup_fd);
}

void log_link_free(struct log_link *link)
{
	if (!link)
		return;
	while (link->workers)
		log_link_worker_free(&link->workers);
	sd_event_source_disable_unref(link->on_cgroup);
	sd_event_source_disable_unref(link->on_message);
	sd_event_source_disable_unref(link->timer);
	cleanup_close(&link->fd);
	cleanup_close(&link->dir_fd);
	cleanup_close(&link->events_fd);
	cleanup_close(&link->cgroup_fd);
	free(link);
}
