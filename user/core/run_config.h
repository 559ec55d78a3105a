/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `reuseportd run` was asked for: one service, its workers' command and how they are kept.
 * Plain data; run_option.h sets it by option names, from the command line and from files alike.
 *
 * All times are nanoseconds. Strings and vectors are owned by the struct (run_config_free()).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include <reuseportd/abi.h>

enum ready_kind {
	READY_LISTEN,  /* it listens (core/ready.h) */
	READY_NOTIFY,  /* sd_notify READY=1 */
	READY_MESSAGE, /* "ready" on the Node channel */
	READY_HTTP,    /* GET ready_argument through its listener answers 2xx or 3xx */
	READY_TCP,     /* its listener accepts: something is read, or the connection stays open */
	READY_EXEC,    /* shell command ready_argument exits with 0 */
	READY_ALIVE,   /* it listens, or has lived for alive_after without */
	READY_KIND_MAX,
};

enum run_log {
	RUN_LOG_PLAIN,  /* lines as they are */
	RUN_LOG_PREFIX, /* each with its worker in front */
};

struct run_config {
	char service[RPD_LABEL_MAX]; /* "" = PROGRAM, or PROGRAM-PORT with one --listen */
	/* Endpoints that were named. family 0: any address, only the port is given. None: every
	 * fixed port that a worker listens on. */
	struct rpd_endpoint listens[RPD_ENDPOINT_MAX];
	size_t n_listens;
	unsigned int workers; /* 1..RPD_SLOT_MAX; "max" has been resolved; 0 = not said yet */
	bool pass_sockets;    /* LISTEN_FDS; needs listens with addresses or ports */
	enum rpd_policy policy;
	bool no_count;
	char label[RPD_LABEL_MAX]; /* the workers' version */

	char **argv; /* the command, NULL-terminated */
	char **env;  /* NAME=VALUE beside what we have ourselves, NULL-terminated; may be NULL */
	/* Files of such, in order; run_env_load() puts what they have into env, where env does not
	 * have it itself. NULL-terminated; may be NULL */
	char **env_files;
	/* PM2's increment_var: this variable is its value in env plus the slot; NULL = none */
	char *increment_var;
	char *cwd, *user, *group; /* NULL = ours */
	/* Files that standard output and error are appended to; NULL = ours. With merge_logs all
	 * workers write to the same, else "-SLOT" is put before the name's extension, unless it is
	 * a device or a pipe. */
	char *out_file, *error_file;
	bool merge_logs;
	enum run_log log;

	enum ready_kind ready;
	char *ready_argument; /* path, or shell command */
	int64_t alive_after;
	int64_t ready_timeout;
	int64_t settle; /* on a reload: how long a ready worker must live before it takes over */
	int64_t health_interval; /* 0 = no health checks; they are as `ready` says (http, tcp, exec)
	                          */
	int64_t health_timeout;
	unsigned int health_failures; /* in a row that make a worker unhealthy */

	int stop_signal;       /* SIGTERM */
	int drain_signal;      /* 0 = none */
	bool drain_message;    /* "drain" on the Node channel at the start of the drain */
	bool shutdown_message; /* "shutdown" on the Node channel in place of the stop signal */
	int64_t drain_timeout, kill_timeout, park_timeout;

	bool restart;                     /* a worker that ended is started again */
	int64_t restart_delay;            /* fixed, before each; 0 = none but the backoff */
	int64_t backoff_min, backoff_max; /* doubled from one crash to the next */
	unsigned int max_restarts;        /* crashes in a row after which the slot is failed */
	int64_t min_uptime;               /* a worker that lived that long is no crash in a row */
	char *cron_restart;     /* five fields; restarts (gracefully) then; NULL = never */
	uint64_t max_memory;    /* bytes, of the worker's processes: replaced; 0 = any */
	uint64_t memory_limit;  /* bytes, by cgroup; 0 = none */
	unsigned int cpu_limit; /* permille of one CPU, by cgroup; 0 = none */

	unsigned int batch; /* how many are replaced at a time */
	bool in_place;      /* the old one first */
	bool keep_going;    /* a reload that fails is not taken back */
};

/* Everything at its default. */
void run_config_init(struct run_config *config);

/* Whether it fits together: a command is there, pass_sockets has listens, an http probe a path
 * that begins with '/', health checks a probe, and so on. error_usage(), of the first thing that
 * doesn't. */
int run_config_check(const struct run_config *config, struct error *err);

/* The same for all of it: @report is called for each thing that doesn't fit, with the option
 * (run_option.h) that says so, or NULL if it is something that is missing. Returns how many. */
size_t run_config_report_problems(const struct run_config *config,
                                  void (*report)(void *data, const char *option, const char *text),
                                  void *data);

/* Puts the default name, as described at `service`, where there is none; needs argv. */
void run_config_set_default_name(struct run_config *config);

/* A copy that owns its strings. -ENOMEM. */
int run_config_copy(const struct run_config *config, struct run_config *ret);

void run_config_free(struct run_config *config);
