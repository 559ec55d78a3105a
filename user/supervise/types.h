/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The structures that the files of the supervisor share. No functions: each file has a header of
 * its own.
 *
 * State that must outlive the supervisor is not here. The pinned maps record which worker has which
 * slot, and the cgroups record each worker's processes (takeover.c).
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "core/deployment_outcome.h"
#include "core/run_config.h"
#include "core/start_limit.h"
#include "core/worker_state.h"
#include "kern/detour.h"
#include "service/in_force_restore.h"
#include "service/service.h"
#include "supervise/parking.h"
#include "supervise/share.h"

struct channel;
struct config_read;
struct control;
struct deployment;
struct guard;
struct health_probe;
struct hook;
struct log_link;
struct notify;
struct reexec_check;
struct reload;
struct remake;
struct postponed;
struct supervisor;
struct supervisor_request;
struct supervisors_companion;

/* A configuration, kept as long as a worker, a slot or a reload refers to it. */
struct plan {
	unsigned int refs;
	/* Slots get the label of this plan, because it differs from the label before or the user
	 * named it. Otherwise slots keep their version, which the user may have set (`label`). */
	bool relabel;
	struct run_config config;
};

/* A listener that the bind hook holds. */
struct worker_held {
	uint64_t cookie;           /* 0 = none */
	struct rpd_endpoint asked; /* where the worker wants to listen; its uid is not known */
	int64_t since;             /* CLOCK_MONOTONIC, ns */
	bool logged;
};

#define WORKER_OWN_PORTS 8

/* A process tree that this supervisor started or took over. */
struct worker {
	struct worker *next;
	struct supervisor *sup;
	struct plan *plan;
	unsigned int slot, number;
	enum worker_state state;

	char cgroup_name[32]; /* SLOT-NUMBER */
	int cgroup_fd, events_fd, pidfd;
	uint64_t cgroup_id;
	uint32_t pid; /* of its main process */
	bool exited;
	char end[64];        /* how its main process ended, for example "exit status 1" */
	int end_status;      /* its exit status, or 128 + the signal's number; -1 = unknown */
	bool in_background;  /* it has failed, because its program went to the background when it
	                        started */
	bool is_left;        /* its program went there later, and serves on: background.h */
	bool is_first;       /* it was the first worker that was up in its slot */
	bool has_duplicates; /* it was refused because it has several listeners on an endpoint */
	sd_event_source *on_exit, *on_cgroup;
	sd_event_source *timer; /* for the end of its state: at most one is needed */

	struct channel *channel;
	int channel_worker_fd; /* the worker's end, until the worker is started */

	uint64_t passed[RPD_ENDPOINT_MAX]; /* cookies of the listeners that were passed to it */
	size_t n_passed;
	/* By endpoint of the service: its listener when it was admitted, 0 = none. */
	uint64_t cookies[RPD_ENDPOINT_MAX];
	uint16_t generation;       /* of its connections: which counts are the worker's */
	bool is_former;            /* it has a row in map "former" */
	bool was_held;             /* ... as held, by the supervisor that it was taken over from */
	char label[RPD_LABEL_MAX]; /* its version when it left its slot */

	/* Where it listened when it was last looked at, each address once: not all of them are
	 * endpoints of the service. */
	struct rpd_endpoint *addresses;
	size_t n_addresses;
	bool admit_later;      /* that could not be found out: it is looked at again */
	char admit_error[160]; /* the last reason why more of its listeners were not admitted */
	uint16_t own_ports[WORKER_OWN_PORTS]; /* its numbers of --increment-var; 0 = none */

	uint64_t look;         /* its turn to be checked, as it has begun to listen; 0 = none */
	uint16_t refused_port; /* where an MPTCP listener was refused and no TCP one came, or 0 */
	struct worker_held held[8]; /* the last ones */
	unsigned int n_held;        /* how many there have been */
	unsigned int n_held_logged;
	sd_event_source *held_timer;
	bool sent_ready;       /* it has sent READY=1 or the message "ready" */
	bool probing_listener; /* its listener is in the socket array for probes ... */
	unsigned int probe_at; /* ... at RPD_SLOT_PROBE + this */
	struct health_probe *probe;
	sd_event_source *probe_timer;
	void (*on_probe)(struct worker *w, bool ok, const char *why);
	unsigned int probe_failures; /* probes that failed in a row */
	bool unhealthy;
	unsigned int n_later;  /* how often it could not be put into its slot just then */
	bool is_late;          /* it is ready but for addresses that its program may have dropped */
	bool may_drop;         /* it was late for long enough: it is ready without them */
	int64_t duplicates_at; /* since when it has several listeners on an endpoint, or 0 */
	int64_t astray_at;     /* when it was first seen to listen elsewhere than it must, or 0 */
	int64_t closed_at;     /* when a listener of it was first found closed, or 0 */
	int oom_score, oom_offered; /* its score, and the higher one until it is in its slot */
	bool rival;                 /* another program has its port: why has the process */
	bool late;                  /* it was not ready in time */

	int64_t started_at, up_at, withdrawn_at; /* CLOCK_MONOTONIC, ns; 0 = not yet */
	char why[512];                           /* why it failed */
};

struct slot {
	struct supervisor *sup;
	unsigned int number;
	struct worker *current; /* the worker in the slot */
	struct worker *next;    /* the worker that takes the slot when it is ready */
	struct plan *plan;      /* of the next worker, if it is not the service's plan */
	enum rpd_run run;
	unsigned int crashes; /* in a row */
	unsigned int restarts;
	bool proven; /* a worker has been up since `start` or `scale` asked for one: the command can
	                be started */
	bool ended;  /* stopped because its worker has ended, and not by the user */
	/* The label before the reload that is in progress, for a worker that is recalled; or "". */
	char old_label[RPD_LABEL_MAX];
	sd_event_source *timer; /* of the pause before the next start */
};

/* What worker.c and slot.c report to the files above them. Set once, by supervisor.c. */
struct worker_events {
	/* The worker must be checked again: it has sent a message, for example. */
	void (*may_be_ready)(struct worker *w);
	/* Its main process has ended: handles what it has sent before. May free the worker. */
	void (*read_rest)(struct worker *w);
	/* It has settled: whether it may get its slot. If not, it has got another event, and may be
	 * freed. */
	bool (*confirm)(struct worker *w);
	/* Whether it waits until others can get their slots together with it. */
	bool (*stands_by)(struct worker *w);
	/* Puts the worker into its slot, as placement_admit() does. */
	int (*admit)(struct worker *w, struct error *err);
	/* The worker has failed before it was up, or has died in its slot. */
	void (*lost)(struct worker *w);
	/* The worker is unhealthy: whether a deployment handles that. */
	bool (*unhealthy)(struct worker *w, const char *why);
	/* If the service is reloaded in place, replaces the slot's current worker in that way, and
	 * returns true. */
	bool (*replace_in_place)(struct supervisor *sup, unsigned int slot);
	/* The worker is in its slot, and its program has gone to the background: w->is_left. */
	void (*left)(struct worker *w);
	/* All its processes have ended. It is no longer in the list, and is freed afterwards. */
	void (*gone)(const struct worker *w);
};

/* The services that this process runs. */
struct supervisors {
	sd_event *loop; /* of what is not done for one service: signals, the log, the output */
	struct supervisor **list;
	size_t n;
	struct pollfd *polled; /* the loops of the services, then that of the process */
	const struct supervisors_companion *companion; /* NULL: none */
	bool companion_runs;
	char *const *self;              /* the command line of this process */
	struct reexec_check *reexec;    /* in progress, or NULL */
	struct config_read *reader;     /* of the configuration file; NULL: there is none */
	bool sent_ready, sent_stopping; /* systemd has been notified */
	bool impatient; /* a signal to stop has come after all workers had ended: drop the rest of
	                   the output */
};

/* How many addresses of single workers are remembered, as they were logged. */
#define ENDPOINTS_NOTED_MAX 64

/* What the supervisor remembers of an endpoint of the service. */
struct endpoint_note {
	bool was_served;
	int64_t orphaned_at; /* since when no worker listens there; CLOCK_MONOTONIC, ns; 0 = one
	                        does */
};

/* An address that a reload has dropped, and that another endpoint covers (dropped_address.h). */
struct dropped_address {
	struct rpd_endpoint address; /* family 0 = none */
	struct rpd_endpoint cover;   /* the endpoint that gets its connections ... */
	int listener;                /* ... and a listener of ours there, or -1 */
	bool is_led_on;              /* no other program has it in part */
	bool is_reported;            /* that it can't be led on */
};

/* A command `on-change` that runs (deployment_announce.h). */
struct announcement {
	struct supervisor *sup;
	struct health_probe *command; /* NULL: none */
};

#define ANNOUNCEMENTS_MAX 8

/* One service that is run. */
/* What log_watch.c knows of the log process. */
struct log_watch {
	struct log_message_watch *memory; /* NULL: none yet */
	int fd;
	uint32_t pid, turn;
	unsigned int same; /* checks in a row that have found it in the same read */
};

struct supervisor {
	sd_event *loop; /* of this service alone: its events are handled in its turn (turn.h) */
	char name[RPD_LABEL_MAX];
	char run_dir[PATH_MAX], cgroup_path[PATH_MAX];
	const char *cgroup_below; /* cgroup_path, without the mount point */
	int cgroup_fd;
	const struct supervisor_request *request;
	const struct worker_events *events;
	struct plan *plan;      /* in force */
	struct service service; /* open from the start to the end; locked for each turn */

	struct hook *hook;
	struct share listens; /* reports of listeners */
	struct share looks;   /* at workers that have begun to listen */
	uint64_t last_look;   /* the turn of the last such worker */
	struct guard *guard;
	sd_event_source *on_guard, *steering_timer;
	struct in_force_restore_report restored;
	struct notify *notify;
	struct control *control;
	struct log_link *log;
	struct log_watch log_watch;
	struct remake *remake;
	struct parking parking;
	struct endpoint_note endpoints[RPD_ENDPOINT_MAX]; /* as in the service */
	struct rpd_endpoint
	        noted[ENDPOINTS_NOTED_MAX]; /* addresses of single workers; family 0 = free */
	unsigned int n_noted;               /* so far */
	struct rpd_endpoint private[ENDPOINTS_NOTED_MAX]; /* addresses that workers don't share */
	size_t n_private;
	bool loopback_is_private; /* so are all loopback addresses from now on */
	bool was_up;              /* a worker was up: which addresses are private is known */
	bool shared_noted;        /* it was logged that several ports are shared */
	struct detour *detour;    /* NULL: no address is dropped */
	struct dropped_address dropped[DETOUR_MAX];
	sd_event_source *park_timer, *check_timer, *cron_timer;
	sd_event_source *start_pause; /* no worker is started until then */
	int64_t probes_from;          /* CLOCK_MONOTONIC, ns: the next probe may start then */
	int64_t probe_cost;           /* ns to start one, on average */
	sd_event_source *clock_watch; /* once cron_timer is used: the clock was set */
	struct plan *cron_plan;       /* the plan that cron_timer was set for */
	sd_event_source *on_change;   /* runs when all events that are due have been handled */
	sd_event_source *on_stop, *on_reload; /* run after a signal */

	struct slot slots[RPD_SLOT_MAX];
	unsigned int n_slots;
	struct worker *workers;
	unsigned int last_number;
	struct start_limit start_limit;
	struct reload *reload;         /* in progress, or NULL */
	struct postponed *postponed;   /* a request that waits; or NULL */
	bool reload_queued;            /* one more reload follows the present one */
	struct deployment *deployment; /* under way, or the last one; NULL: there was none */
	uint64_t deployments_ended[DEPLOYMENT_OUTCOME_MAX];
	struct announcement announcements[ANNOUNCEMENTS_MAX];

	bool due;            /* its loop may have events to handle */
	int64_t waits_since; /* for the lock; CLOCK_MONOTONIC, ns; 0 = it does not wait */
	bool wait_is_logged;

	uint64_t memory_checked_at;    /* CLOCK_MONOTONIC, microseconds */
	const struct supervisors *all; /* the services of this process */
	bool started;
	bool made;         /* this supervisor made the service: it did not take it over */
	bool nothing_left; /* no worker is left to be started, which has been logged */
	bool announced;    /* every slot has settled once, which has been logged */
	bool leaving; /* it was asked to stop, or stops: goes on without the lock, if it must */
	sd_event_source *lame_duck; /* the timer of this step (shutdown.h); NULL = it is not under
	                               way */
	bool stopping;
	bool draining;        /* and it has not sent the stop signal yet */
	int64_t ending_since; /* no worker is left; CLOCK_MONOTONIC, ns; 0 = not yet */
	bool ended;           /* nothing of the service is left */
	int status;           /* exit status, when it has ended */
};
