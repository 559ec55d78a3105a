/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/turn.h"

#include <string.h>

#include "base/clock.h"
#include "kern/pins.h"
#include "service/service_lock.h"
#include "supervise/report.h"
#include "supervise/supervisor.h"

/* Handling several events under one lock is cheaper; but other services wait for that time. */
#define TURN_EVENTS 8

/* A service that has ended leaves its pins if its lock is not free for this time. */
#define TURN_END_NS (5 * NS_PER_S)

/* --- waiting for the lock */

static int64_t turn_has_waited(const struct supervisor *sup)
{
	return sup->waits_since ? clock_ns(CLOCK_MONOTONIC) - sup->waits_since : 0;
}

static void turn_note_wait(struct supervisor *sup, const char *why)
{
	if (!sup->waits_since)
		sup->waits_since = clock_ns(CLOCK_MONOTONIC);
	if (sup->wait_is_logged || turn_has_waited(sup) < PINS_PATIENCE_MS * (NS_PER_S / 1000))
		return;
	sup->wait_is_logged = true;
	report_line(sup, "waiting: %s", why);
}

static void turn_end_wait(struct supervisor *sup)
{
	if (sup->wait_is_logged)
		report_line(sup, "goes on after %.1f s", (double)turn_has_waited(sup) / NS_PER_S);
	sup->waits_since = 0;
	sup->wait_is_logged = false;
}

/* Returns whether the turn need not wait. If the service's pins are broken, its lock can't be
 * taken: then each operation fails, and reports why. */
static bool turn_lock(struct supervisor *sup)
{
	struct error err = {};

	if (service_lock_try(&sup->service, &err) == SERVICE_LOCKED) {
		turn_note_wait(sup, err.text);
		return false;
	}
	turn_end_wait(sup);
	return true;
}

/* --- the turn */

/* Nothing has been started yet that must be stopped. */
static void turn_leave_unstarted(struct supervisor *sup)
{
	report_line(sup, "stopped before it was started");
	sup->status = sup->request->stop ? EXIT_REFUSED : EXIT_OK;
	sup->ended = true;
}

/* A service that can't be started ends the process; but if it had to wait, other services may serve
 * by now. */
static int turn_fail_start(struct supervisor *sup, int r, const char *why, struct error *err)
{
	if (!sup->waits_since)
		return error_set(err, r, "%s", why);
	report_line(sup, "%s", why);
	supervisor_undo(sup);
	sup->status = EXIT_REFUSED;
	sup->ended = true;
	return TURN_TAKEN;
}

static int turn_start(struct supervisor *sup, struct error *err)
{
	struct error why = {};
	int r = supervisor_start(sup, &why);

	if (r < 0)
		return turn_fail_start(sup, r, why.text, err);
	if (r == SUPERVISOR_START_LATER) {
		turn_note_wait(sup, why.text);
		return TURN_WAITS;
	}
	turn_end_wait(sup);
	service_unlock(&sup->service);
	return TURN_TAKEN;
}

static int turn_handle_events(struct supervisor *sup, struct error *err)
{
	int r = 1;

	for (int i = 0; i < TURN_EVENTS && r > 0; i++)
		r = sd_event_run(sup->loop, 0);
	if (r < 0)
		return error_set(err, r, "the event loop of service '%s' failed: %s", sup->name,
		                 strerror(-r));
	sup->due = r > 0;
	return TURN_TAKEN;
}

/* Returns an enum turn_result, or a negative errno. While a service stops, its turns take no lock:
 * they change nothing that is pinned until the last one removes it all. */
static int turn_go_on(struct supervisor *sup, struct error *err)
{
	const bool is_free = (!sup->stopping || sup->ending_since) && turn_lock(sup);
	int r = TURN_WAITS;

	if (!is_free && !sup->leaving)
		return TURN_WAITS;
	if (sup->due)
		r = turn_handle_events(sup, err);
	if (sup->ending_since &&
	    (is_free || clock_ns(CLOCK_MONOTONIC) >= sup->ending_since + TURN_END_NS)) {
		supervisor_end(sup);
		r = TURN_TAKEN;
	}
	service_unlock(&sup->service);
	return r;
}

int turn_take(struct supervisor *sup, struct error *err)
{
	if (sup->ended)
		return TURN_IDLE;
	if (!sup->started && !sup->leaving)
		return turn_start(sup, err);
	if (!sup->started) {
		turn_leave_unstarted(sup);
		return TURN_TAKEN;
	}
	return sup->due || sup->ending_since ? turn_go_on(sup, err) : TURN_IDLE;
}

bool turn_stands_still(const struct supervisor *sup)
{
	return sup->ended || (sup->waits_since && !sup->leaving);
}
