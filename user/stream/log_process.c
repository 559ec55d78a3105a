/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream/log_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/file_limit.h"
#include "kern/privileges.h"
#include "stream/log_message.h"
#include "stream/log_note.h"
#include "stream/log_reopen.h"
#include "stream/log_source.h"
#include "stream/log_state.h"
#include "stream/log_target.h"
#include "stream/log_worker.h"

/* How long lines may wait for their target after the last worker and the supervisor have ended. */
#define END_US 5000000

/* --- the end */

static int log_process_on_end_of_time(sd_event_source *source, uint64_t now, void *data)
{
	struct log_process *log = data;

	if (log->progressed) { /* what is left has its time again */
		log->progressed = false;
		sd_event_source_set_time_relative(source, END_US);
		return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	for (struct log_target *target = log->targets; target; target = target->next)
		target->refs++; /* for log_process_end() */
	while (log->workers)
		log_worker_drop(log->workers);
	log->ended = true;
	return 0;
}

/* Writes the last notes, if they are accepted at once. */
static void log_process_end(struct log_process *log)
{
	for (struct log_target *target = log->targets; target; target = target->next)
		log_target_report_lost(target);
	log_target_flush(log->notes.target);
}

/* Whether lines are left that a target may accept. */
static bool log_process_has_lines(const struct log_process *log)
{
	for (const struct log_target *target = log->targets; target; target = target->next)
		if (log_target_may_go_on(target))
			return true;
	return false;
}

/* Whether a worker may still print, or have its channel open. */
static bool log_process_serves(const struct log_process *log)
{
	for (const struct log_worker *w = log->workers; w; w = w->next)
		if (w->streams[0].fd >= 0 || w->streams[1].fd >= 0 || w->channel >= 0)
			return true;
	return false;
}

/* After each turn of the event loop: ends it if neither a supervisor nor a worker is left. */
static int log_process_on_idle(sd_event_source *source, void *data)
{
	struct log_process *log = data;

	if (log->link || log->ended || log_process_serves(log))
		return 0;
	if (log_process_has_lines(log) && !log->ending)
		sd_event_add_time_relative(log->loop, &log->ending, CLOCK_MONOTONIC, END_US, 1,
		                           log_process_on_end_of_time, log);
	log->ended = !log_process_has_lines(log);
	return 0;
}

/* --- the supervisor */

static void log_process_send_tail(struct log_process *log, int fd, const struct log_message *to)
{
	struct log_worker *w = log_worker_find(log, to->slot, to->number);
	struct log_message_tail tail = {.slot = to->slot, .number = to->number};

	if (w)
		log_worker_tail(w, tail.text);
	send(fd, &tail, sizeof(tail), MSG_DONTWAIT | MSG_NOSIGNAL); /* it waits for a moment only */
}

static void log_process_add(struct log_process *log, const struct log_message *message,
                            int fds[LOG_MESSAGE_FDS])
{
	struct log_worker *w = log_worker_new(log, message);

	if (!w) {
		for (int i = 0; i < LOG_MESSAGE_FDS; i++)
			cleanup_close(&fds[i]);
		return;
	}
	for (int i = 0; i < LOG_MESSAGE_PLACES; i++)
		log_state_restore(&w->streams[i]);
	log_worker_open(w, fds);
}

/* Lines that wait stay with us, and the workers' FIFOs are open. */
static void log_process_move(struct log_process *log, int dir_fd)
{
	int r = dup3(dir_fd, log->dir_fd, O_CLOEXEC) < 0 ? -errno : 0;

	close(dir_fd);
	if (r >= 0)
		r = log_state_move(log);
	if (r >= 0)
		r = log_reopen_listen(log);
	if (r < 0)
		log_note(log, "the log process can't use the run directory that was made again: %s",
		         strerror(-r));
}

static void log_process_obey(struct log_process *log, int fd, const struct log_message *message,
                             int fds[LOG_MESSAGE_FDS])
{
	struct log_worker *w;

	switch (message->kind) {
	case LOG_MESSAGE_ADD:
		log_process_add(log, message, fds);
		break;
	case LOG_MESSAGE_GONE:
		w = log_worker_find(log, message->slot, message->number);
		if (w)
			log_worker_end(w);
		break;
	case LOG_MESSAGE_TAIL:
		log_process_send_tail(log, fd, message);
		break;
	case LOG_MESSAGE_MOVE:
		log_process_move(log, fds[0]);
		break;
	}
}

static void log_process_check_workers(struct log_process *log)
{
	struct log_worker *next;

	for (struct log_worker *w = log->workers; w; w = next) {
		next = w->next;
		log_worker_check_end(w);
	}
}

static int log_process_on_message(sd_event_source *source, int fd, uint32_t events, void *data)
{
	static struct log_message message;
	struct log_process *log = data;
	int fds[LOG_MESSAGE_FDS] = {-1, -1, -1};
	int r = log_message_receive(fd, &message, fds);

	if (r > 0) {
		log_process_obey(log, fd, &message, fds);
	} else if (r != -EAGAIN) { /* the supervisor has ended */
		log->link = sd_event_source_disable_unref(log->link);
		close(fd);
		log_process_check_workers(log);
	}
	return 0;
}

/* --- log files */

static int log_process_on_hangup(sd_event_source *source, const struct signalfd_siginfo *info,
                                 void *data)
{
	struct error err = {};

	if (log_reopen(data, &err) < 0)
		log_note(data, "%s", err.text);
	return 0;
}

/* --- the process */

/* Another log process takes over. */
static int log_process_on_terminate(sd_event_source *source, const struct signalfd_siginfo *info,
                                    void *data)
{
	struct log_process *log = data;

	log_state_leave(log);
	log->ended = log->left = true;
	return 0;
}

/* From the beginning, since another log process may take over at any time. */
static void log_process_block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int log_process_add_signals(struct log_process *log)
{
	sd_event_source *source;
	int r = sd_event_add_signal(log->loop, &source, SIGTERM, log_process_on_terminate, log);

	if (r >= 0) {
		sd_event_source_set_priority(source, LOG_PRIORITY_LINK);
		sd_event_source_set_floating(source, true);
		sd_event_source_unref(source);
		r = sd_event_add_signal(log->loop, NULL, SIGHUP, log_process_on_hangup, log);
	}
	return r;
}

/* The log process before us is ended first: it would write the same lines. */
static int log_process_open(struct log_process *log)
{
	int r = sd_event_new(&log->loop);

	if (r >= 0)
		r = log_state_take(log);
	if (r >= 0)
		r = log_note_open(log);
	if (r < 0)
		return r;
	log_state_restore(&log->notes);
	r = log_process_add_signals(log);
	if (r >= 0)
		r = sd_event_add_io(log->loop, &log->link, LOG_MESSAGE_FD, EPOLLIN,
		                    log_process_on_message, log);
	if (r >= 0)
		r = sd_event_source_set_priority(log->link, LOG_PRIORITY_LINK);
	if (r >= 0)
		r = sd_event_add_post(log->loop, NULL, log_process_on_idle, log);
	return r < 0 ? r : log_reopen_listen(log);
}

bool log_process_is_one(void)
{
	int type;
	socklen_t size = sizeof(type);

	return getsockopt(LOG_MESSAGE_FD, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
	       type == SOCK_SEQPACKET;
}

int log_process_main(const char *service)
{
	static struct log_message_watch unwatched;
	static struct log_process log = {.dir_fd = LOG_MESSAGE_DIR_FD};
	int r;

	log.service = service;
	log.watch = mmap(NULL, sizeof(*log.watch), PROT_READ | PROT_WRITE, MAP_SHARED,
	                 LOG_MESSAGE_WATCH_FD, 0);
	if (log.watch == MAP_FAILED) /* no supervisor watches */
		log.watch = &unwatched;
	prctl(PR_SET_NAME, "reuseportd-log");
	log_process_block_signals();
	file_limit_raise(); /* each worker takes up to five descriptors */
	privileges_keep_for_files();
	r = log_process_open(&log);
	log.watch->turn = 0; /* the log process before us may have ended while it read */
	while (r >= 0 && !log.ended)
		r = sd_event_run(log.loop, UINT64_MAX);
	if (r == -ECANCELED)
		return EXIT_OK;
	if (r >= 0) {
		if (!log.left)
			log_process_end(&log);
		return EXIT_OK;
	}
	fprintf(stderr, "%s: the log process failed: %s\n", service, strerror(-r));
	return EXIT_REFUSED;
}
