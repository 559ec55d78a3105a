/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a supervisor knows of the service that it runs. Shared by the files run_*.c and reload.c,
 * which each have one subject; everybody else sees supervisor.h.
 *
 * What must outlive us is not here: the pinned maps tell who has which slot, and the cgroups which
 * processes there are (run_takeover.c).
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "core/worker_state.h"
#include "core/listener.h"
#include "core/rollout.h"
#include "core/run_config.h"
#include "supervise/channel.h"
#include "supervise/notify.h"
#include "stream/output.h"
#include "supervise/parking.h"
#include "supervise/health_probe.h"
#include "service/service.h"
#include "supervise/supervisor.h"
#include "kern/hook.h"

struct control;
struct json_object;
struct reload;
struct supervisor;

/* A configuration, as long as any worker or plan goes by it. */
struct plan {
	unsigned int refs;
	/* Its label is another one than before, or was named: slots get it. Else they keep theirs,
	 * which the user may have set (`label`). */
	bool relabel;
	struct run_config config;
};

/* A process tree that we started, or took over. */
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
	char end[64];     /* how its main process ended, such as "exit status 1" */
	bool ended_badly; /* neither with exit status 0, nor in a way that we don't know */
	sd_event_source *on_exit, *on_cgroup;
	sd_event_source *timer; /* of the state: each has at most one time to wait for */

	struct output *output;
	struct channel *channel;
	int channel_worker_fd; /* its end, until it was started */

	/* Cookies of its listeners that are bound to a fixed port, and of those passed to it. */
	uint64_t fixed[RPD_ENDPOINT_MAX];
	size_t n_fixed;
	/* By endpoint of the service: its listener when it was admitted, 0 = none. */
	uint64_t cookies[RPD_ENDPOINT_MAX];
	uint16_t account;

	uint16_t refused_port; /* where it may not listen by MPTCP, and does not by TCP; or 0 */
	bool told_ready;       /* by sd_notify, or a message */
	bool probing_listener; /* its listener is where probes find it ... */
	unsigned int probe_at; /* ... at RPD_SLOT_PROBE + this */
	struct health_probe *probe;
	sd_event_source *probe_timer;
	unsigned int probe_failures; /* in a row, when it is up */
	bool unhealthy;

	int64_t started_at, up_at, withdrawn_at; /* CLOCK_MONOTONIC; 0 = not yet */
	char why[512];                           /* what it failed of */
};

struct slot {
	struct supervisor *sup;
	unsigned int number;
	struct worker *current; /* has the slot */
	struct worker *next;    /* is to have it, when it is ready */
	struct plan *plan;      /* of who is to be started in it, if not the service's */
	enum rpd_run run;
	unsigned int crashes; /* in a row */
	unsigned int restarts;
	bool proven; /* one has been up since a worker was asked for: what it runs can be started */
	bool ended;  /* stopped because its worker has ended, and not by the user */
	/* That it had before the reload under way gave it another: for who comes back. Or "". */
	char old_label[RPD_LABEL_MAX];
	sd_event_source *timer; /* of the pause before the next start */
};

struct supervisor {
	sd_event *loop;
	char name[RPD_LABEL_MAX];
	char run_dir[PATH_MAX], cgroup_path[PATH_MAX];
	int cgroup_fd;
	const struct supervisor_request *request;
	struct plan *plan; /* in force */

	struct hook *hook;
	sd_event_source *on_hook;
	struct notify *notify;
	struct control *control;
	struct parking parking;
	sd_event_source *park_timer, *look_timer, *cron_timer;
	sd_event_source
	        *on_change; /* looks, once all that happens now is done, whether it's the end */

	struct slot slots[RPD_SLOT_MAX];
	unsigned int n_slots;
	struct worker *workers;
	unsigned int last_number;
	struct reload *reload; /* under way, or NULL */

	uint64_t memory_looked_at;     /* CLOCK_MONOTONIC, microseconds */
	const struct supervisors *all; /* that this process runs */
	bool made;                     /* the service is of our making, and not taken over */
	bool nothing_left;             /* to be started, which has been said */
	bool announced;                /* every slot has come to where it goes once */
	bool stopping;
	bool ended; /* nothing of the service is left */
	int status; /* exit status, when it has ended */
};

#define RUN_DRAIN_LOOK_NS  100000000ll  /* between two looks at who drains */
#define RUN_MEMORY_LOOK_NS 2000000000ll /* and at how much memory each has */

/* A line for the log, and for whoever waits for what is under way. */
void supervisor_log(struct supervisor *sup, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

struct plan *plan_new(const struct run_config *config);
struct plan *plan_ref(struct plan *plan);
void plan_unref(struct plan *plan);

/* --- run_worker.c: one process tree. */

/* Starts one of @plan for @slot. NULL with @err set if it can't be started; nothing is left then.
 */
struct worker *worker_start(struct supervisor *sup, unsigned int slot, struct plan *plan,
                            struct error *err);
/* Takes over cgroup @name with whom is in it. NULL: it is empty, and was removed, or @err is set.
 */
struct worker *worker_take_over(struct supervisor *sup, const char *name, enum worker_state state,
                                struct error *err);
/* Something has happened to it: does what core/worker_state.h says. It may be freed then. */
void worker_event(struct worker *w, enum worker_event event);
/* As WORKER_EVENT_FAILED, and says why. */
void worker_fail(struct worker *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The timer of its state. */
int worker_arm(struct worker *w, int64_t ns, enum worker_event event);
/* Lets go of it, and leaves its processes alone, and what is left of its output unless it has
 * @ended.
 */
void worker_forget(struct worker *w, bool ended);
/* The worker whose cgroup process @pid is in, or NULL. */
struct worker *worker_of_pid(struct supervisor *sup, uint32_t pid);

/* --- run_env.c */

/* Its environment, NAME=VALUE, NULL-terminated; NULL: out of memory. strv_free(). */
char **worker_env_new(const struct worker *w);
/* Whether it is offered a Node channel: Node programs call process.send() only if they were started
 * with one, as PM2 does; some call it without looking. Others are not, as a node that they start
 * may have the variable without the descriptor, and dies of that. */
bool worker_env_has_channel(const struct run_config *config);
/* The channel's end is descriptor @fd of it; not so in its probes' commands. -ENOMEM. */
int worker_env_add_channel(char ***env, int fd);

/* --- run_log.c */

/* Opens the log file @name of the configuration for the worker to append to. The caller closes it.
 */
int worker_log_open(const struct worker *w, const char *name, struct error *err);
/* The file that its output else goes to may be opened by it, as /dev/stdout, whoever it runs as. */
int worker_log_share(const struct worker *w, struct error *err);

/* --- run_cgroup.c */

/* Opens the service's cgroup: where it is, if the service is @taken_over; else it is made, or
 * emptied. */
int service_cgroup_open(struct supervisor *sup, bool taken_over, struct error *err);
/* Kills all that is in it, and waits for their end. */
void service_cgroup_clear(struct supervisor *sup);
/* Removes it, when nobody is in it any more. */
void service_cgroup_remove(struct supervisor *sup);

/* --- run_place.c: workers' listeners, and slots. */

/* Its listeners that are meant to take connections, by cookie. The caller frees *ret. */
int placement_listeners(struct worker *w, struct listener **ret, size_t *ret_n, struct error *err);
/* Makes endpoints of those that are none yet, and lets connections wait there. */
int placement_endpoints(struct worker *w, const struct listener *listeners, size_t n,
                        struct error *err);
/* Puts it into its slot, in place of whoever is there. One that listens on nothing is there by its
 * pid alone, if it may be ready like that (core/ready.h). */
int placement_admit(struct worker *w, struct error *err);
/* Whether it has a listener that was admitted. */
bool placement_listens(const struct worker *w);
/* Lets probes reach a worker that is in no slot: its listener in @ret_endpoint is at @ret_index of
 * the socket array. @service: open and locked. */
int placement_expose(struct worker *w, struct service *service, unsigned int *ret_endpoint,
                     unsigned int *ret_index, struct error *err);
/* After a reload that failed: takes the endpoints away that only its workers had. */
void placement_trim(struct supervisor *sup);
/* Takes whoever has the slot out of it. */
int placement_withdraw(struct supervisor *sup, unsigned int slot, struct error *err);
/* Notes the slot's run state, where `status` finds it. */
void placement_note(struct supervisor *sup, unsigned int slot);
/* Begins to hold connections back if nobody is in a slot, and ends that if somebody is. */
void placement_park(struct supervisor *sup);
/* The service has @n slots from now on. */
int placement_resize(struct supervisor *sup, unsigned int n, struct error *err);

/* --- run_ready.c */

/* One of its listeners was heard of. @fixed: it was bound to that port, not to any. */
void readiness_heard(struct worker *w, uint64_t cookie, bool fixed);
/* Looks whether it is ready; to be called whenever that may have changed. */
void readiness_look(struct worker *w);
/* Its health is checked from now on, if it is to be. */
void readiness_watch(struct worker *w);
/* It has ended before it was ready: adds to why if that may be as somebody else has its port. */
void readiness_note_rival(struct worker *w);
/* No more probes. */
void readiness_end(struct worker *w);

/* --- run_drain.c */

/* Whether nothing is left of its connections. @ret_open: how many, UINT64_MAX = not known. */
bool drain_check_is_done(struct worker *w, uint64_t *ret_open);

/* --- run_slot.c: who is to be in a slot. */

/* Starts one for the slot, if it has room for one; in case of failure, what follows is done. */
void slot_start(struct supervisor *sup, unsigned int slot);
/* Starts those that have ended and are not started again by themselves. */
void slot_start_ended(struct supervisor *sup);
/* As many of those that wait to be started as may start at the same time. */
void slot_start_waiting(struct supervisor *sup);
/* The one that is `next` of its slot is in it. */
void slot_admitted(struct worker *w);
/* It came to nothing, or it was in its slot and has died. */
void slot_lost(struct worker *w);
/* Another takes the place of the one that is in the slot, without a reload, and if that one needed
 * the same soon after its own start, after a pause. */
void slot_restart_worker(struct supervisor *sup, unsigned int slot, const char *why);
/* Its worker is up, and not well: it leaves the slot if others are well, and is replaced. */
void slot_unhealthy(struct worker *w, const char *why);
/* The same for all whose checks failed during a reload, which is over. */
void slot_check_unhealthy(struct supervisor *sup);
/* The slot's worker goes, and no other comes. */
int slot_stop(struct supervisor *sup, unsigned int slot, struct error *err);
/* The service has @n slots from now on: more are started, those above go. */
int slot_scale(struct supervisor *sup, unsigned int n, struct error *err);
/* None is started in it: it is @run from now on, failed or stopped. @ended: see struct slot. */
void slot_leave(struct supervisor *sup, unsigned int slot, enum rpd_run run, bool ended);
/* Whether any slot has a worker in it. */
bool slot_any(const struct supervisor *sup);
/* Whether every slot has come to where it goes: up, failed or stopped. */
bool slot_all_settled(const struct supervisor *sup);

/* --- reload.c */

/* How one reload goes about it. */
struct reload_ways {
	unsigned int batch;
	bool in_place, keep_going;
};

/* As the configuration has it. */
struct reload_ways reload_ways(const struct run_config *config);
/* Replaces the workers of @slots by such of @plan, which becomes the service's if all goes well and
 * they are all its slots that are not stopped; @ways are of this reload alone. How it went is told
 * to the control connections that wait for it (control_reload_ended()). -EBUSY with @err set if one
 * is under way. */
int reload_begin(struct supervisor *sup, const struct slots *slots, struct plan *plan,
                 const struct reload_ways *ways, struct error *err);
/* The slots that a reload is for: all but those that were stopped. */
void reload_slots(const struct supervisor *sup, struct slots *ret);
bool reload_has(const struct supervisor *sup, unsigned int slot);
/* The reload ends with the first failure, and then tells its last lines of output itself. */
bool reload_will_tell(const struct supervisor *sup, unsigned int slot);
/* Whether the slot's old worker is kept until the reload is through. */
bool reload_holds(const struct supervisor *sup, unsigned int slot);
/* Whether, in place, an old worker is on its way out for a new one: who then waits for a worker
 * waits longer, and that is meant to be. */
bool reload_makes_room(const struct supervisor *sup);
void reload_note_admitted(struct supervisor *sup, unsigned int slot);
/* @w: the worker that came to nothing; NULL if none could be started: @why. */
void reload_note_failed(struct supervisor *sup, unsigned int slot, const struct worker *w,
                        const char *why);
/* A worker has gone: one that made room, maybe, or the last of the old ones. */
void reload_note_gone(struct supervisor *sup, const struct worker *w);
/* Drops it: all is being stopped. */
void reload_drop(struct supervisor *sup);

/* --- run_command.c: the command in force, for the supervisor after us. */

/* A command from JSON; NULL: it is none, or out of memory. strv_free(). */
char **persisted_command_of(struct json_object *array);
/* What @config has as its command and label is in force from now on. */
int persisted_command_keep(const struct supervisor *sup, const struct run_config *config,
                           struct error *err);
/* Before workers are taken over: the plan gets the command that they run, if a reload has brought
 * it, and what is given is the same as it was then. */
void persisted_command_restore(struct supervisor *sup);
/* What is given is in force; or nothing at all. */
void persisted_command_forget(const struct supervisor *sup);

/* --- run_takeover.c */

/* Takes over what an earlier supervisor has left: those who are in slots stay there, all others go.
 */
int takeover(struct supervisor *sup, struct error *err);

/* --- run_kept.c */

/* After takeover(): says what of the configuration is not in force, as the service was made by
 * another one. */
int config_drift_report(struct supervisor *sup, struct error *err);

/* --- run_make.c */

/* Makes the service, or takes it over, and all that it has beside workers: the run directory, the
 * cgroup with its hook. Returns 1 if it was taken over. */
int setup(struct supervisor *sup, struct error *err);
/* Whose the listeners of such workers are: only those of one user share a port. */
uid_t setup_workers_uid(const struct run_config *config);
/* Removes all that is of the service; its workers have gone. */
void setup_remove(struct supervisor *sup);
/* Only the run directory, if it is empty. */
void setup_remove_dir(const struct supervisor *sup);

/* --- run_look.c */

/* To be called when there may be more, or less, to look at from time to time. */
void timers_arm(struct supervisor *sup);
/* The plan in force is the first, or another one. */
void timers_plan_changed(struct supervisor *sup);

/* --- supervisor.c */

/* Makes what workers of @config need that isn't there yet: the socket for sd_notify(). */
int supervisor_prepare(struct supervisor *sup, const struct run_config *config, struct error *err);
/* Ends all workers, then the service, then us. */
void supervisor_stop(struct supervisor *sup);
/* Called when a worker or a slot has another state: when all that happens now is done it is looked
 * whether somebody waited for that, and whether it is the end. */
void supervisor_check_soon(struct supervisor *sup);
/* Whether anything is left in a slot, or will be, of this service or of one that the same process
 * runs: else they end. */
bool supervisor_has_work(const struct supervisor *sup);
