/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/slot_flip.h"

#include <errno.h>
#include <string.h>

#include "core/schedule.h"
#include "core/schedule_edit.h"
#include "kern/steer.h"
#include "service/admit.h"
#include "service/observe.h"
#include "service/schedule_commit.h"

static int slot_flip_edit_slot(const struct service *service, const struct slot_flip_change *it,
                               struct rpd_schedule *draft, struct error *err)
{
	const struct slots slots = {.n = 1, .at = {it->slot}};
	const char *label = it->label ? it->label : service->steer.service->label;
	int r = schedule_edit_fill_slot(draft, it->slot, label, err);

	return r < 0 || !it->label ? r : schedule_edit_set_label(draft, &slots, label, err);
}

static int slot_flip_edit_canaries(struct rpd_schedule *draft, const struct slots *canaries,
                                   unsigned int permille, struct error *err)
{
	if (canaries && permille)
		return schedule_edit_set_canary(draft, canaries, permille, err);
	if (canaries)
		schedule_edit_clear_canary(draft);
	return 0;
}

/* If the newcomers' version is switched off, and they replace the last workers of the other
 * version, all connections would be refused. */
static int slot_flip_check_served(const struct service *service, const struct rpd_schedule *draft,
                                  const struct slot_flip_change *changes, size_t n,
                                  struct error *err)
{
	const struct rpd_schedule *in_force = steer_schedule(&service->steer);
	struct rpd_schedule before = *in_force, next = *draft;
	struct slots slots = {};
	struct error ignored;
	char text[64];

	if (n == 0 || draft->only_version == RPD_NO_VERSION)
		return 0;
	schedule_build(&before);
	schedule_build(&next);
	if (schedule_edit_check_served(&before, &next, false, "", &ignored) == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		slots.at[slots.n++] = changes[i].slot;
	return error_set(err, -EBUSY,
	                 "version '%s' is switched off, and without the worker in slot %s no "
	                 "worker of '%s' would be left to take connections; let all versions take "
	                 "them: `reuseportd switch %s --off`",
	                 draft->versions[draft->slots[changes[0].slot].version].label,
	                 slots_format(&slots, text, sizeof(text)),
	                 in_force->versions[in_force->only_version].label, service->pins.service);
}

/* The draft of the schedule, except for what admit() sets. */
static int slot_flip_edit(const struct service *service, const struct slot_flip_change *changes,
                          size_t n, const struct slots *canaries, unsigned int permille,
                          struct rpd_schedule *draft, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = slot_flip_edit_slot(service, &changes[i], draft, err);
	if (r == 0)
		r = slot_flip_edit_canaries(draft, canaries, permille, err);
	return r < 0 ? r : slot_flip_check_served(service, draft, changes, n, err);
}

/* The listeners of a former worker keep their version. */
static void slot_flip_forget_former(struct observed *o, const struct rpd_schedule *in_force,
                                    const struct rpd_schedule *draft)
{
	for (unsigned int slot = 0; slot < o->n_slots; slot++)
		if ((in_force->slots[slot].flags ^ draft->slots[slot].flags) & RPD_SLOT_SECOND)
			memset(o->slots[slot].cookies, 0, sizeof(o->slots[slot].cookies));
}

int slot_flip(struct service *service, const struct slot_flip_change *changes, size_t n,
              const struct slots *canaries, unsigned int permille, const char *what,
              struct error *err)
{
	_cleanup_observed_ struct observed o = {}, again = {};
	struct rpd_schedule draft;
	struct error ignored;
	size_t begun = 0;
	int r = observe(service, OBSERVE_KNOWN, &o, err);

	if (r < 0)
		return r;
	schedule_commit_begin(service, &o, &draft);
	r = slot_flip_edit(service, changes, n, canaries, permille, &draft, err);
	while (r == 0 && begun < n) {
		r = admit(service, &o, changes[begun].slot, changes[begun].newcomer, &draft, err);
		begun++;
	}
	slot_flip_forget_former(&o, steer_schedule(&service->steer), &draft);
	if (r == 0)
		r = schedule_commit(service, &o, &draft, true, what, err);
	if (r == 0)
		return 0;
	for (size_t i = 0; i < begun; i++)
		admit_undo(service, &o, changes[i].slot, changes[i].newcomer);
	if (begun)
		observe(service, OBSERVE_KNOWN, &again, &ignored);
	return r;
}
