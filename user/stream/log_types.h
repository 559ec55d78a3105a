/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The structures that the files of the log process share. No functions: each file has a header of
 * its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "core/line_queue.h"
#include "kern/credentials.h"
#include "stream/log_message.h"
#include "stream/out_stream.h"

/* All lines that wait take at most this many bytes, in all queues of the service together. */
#define LOG_KEEP_MAX  ((size_t)4 << 20)
#define LOG_KEEP_TEXT "4 MB"

/* Of the event sources: the supervisor and signals come first; lines are written before more are
 * read. */
#define LOG_PRIORITY_LINK  (SD_EVENT_PRIORITY_NORMAL - 2)
#define LOG_PRIORITY_WRITE (SD_EVENT_PRIORITY_NORMAL - 1)

struct log_process;
struct log_state;
struct log_target;
struct log_worker;

/* One stream of a worker. */
struct log_source {
	struct log_process *log;
	struct log_worker *worker; /* NULL: our own notes */
	struct log_target *target; /* NULL: there are no lines */
	struct log_source *next;   /* in the target's list of sources that wait for their turn */
	bool listed;
	int fd; /* -1: it has ended */
	sd_event_source *on_readable;
	sd_event_source *pause; /* armed while it isn't read */
	const char *prefix;
	struct line_queue queue;
};

struct log_worker {
	struct log_worker *next;
	struct log_process *log;
	uint32_t slot, number;
	bool gone; /* all its processes have ended, as the supervisor says */
	char prefix[sizeof(((struct log_message *)NULL)->prefix)];
	/* Standard output, standard error, and the lines of both for a third file, if there is one:
	 * this source has no FIFO. */
	struct log_source streams[LOG_MESSAGE_PLACES];
	int channel; /* only kept open for the next supervisor; -1: none */
	sd_event_source *on_channel_end;
	char tail[LOG_MESSAGE_TAIL_MAX];
	size_t n_tail;
};

/* Where lines go: a file, or a stream of the supervisor. */
struct log_target {
	struct log_target *next;
	struct log_process *log;
	unsigned int refs;
	int stream; /* as in struct log_message_place */
	char *path;
	struct credentials id; /* for the path */
	int fd;                /* -1: it could not be opened */
	struct out_stream out;
	struct log_source *first, *last; /* the sources that have lines, in turn */
	sd_event_source *on_ready;       /* while it accepts nothing */
	sd_event_source *timer;          /* of the next try, after a failure */
	sd_event_source *again;          /* for the next turn of the event loop */
	int failure;                     /* errno; 0 = none since all lines were written */
	bool losing;                     /* lines were dropped since all lines were written */
	uint64_t lost;                   /* their number */
};

struct log_process {
	sd_event *loop;
	const char *service;
	int dir_fd; /* the service's run directory */
	struct log_message_watch *watch;
	sd_event_source *link; /* the supervisor; NULL = there is none */
	sd_event_source *on_reopen;
	sd_event_source *ending; /* after the last worker: when to drop what can't be written */
	struct log_worker *workers;
	struct log_target *targets;
	struct log_source notes; /* our own messages, for standard error */
	size_t kept;             /* bytes in all queues */
	struct log_state *state; /* of the log process before us */
	bool progressed;         /* lines were written since `ending` was set */
	bool ended;
	bool left; /* the next log process has all lines: they are written no more */
};
