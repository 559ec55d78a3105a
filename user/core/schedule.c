/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three questions, answered one after the other:
 *
 * Who?       schedule_mark_eligible(), and for sticky clients schedule_mark_base().
 * How many?  schedule_plan_fit(): how long the ring is, and how many of its entries each slot gets.
 * The slots are on two sides, canary and rest, so that the canary's share is right whatever the
 * weights inside the sides are. In what order? Round robin: schedule_plan_order(). Sticky:
 * schedule_fill_base() and schedule_fill_sticky().
 *
 * All arithmetic is on integers, so that the same input gives the same ring everywhere.
 */
#include "core/schedule.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define PERMILLE 1000
#define PPM      1000000

/* Of a sticky ring. Prime, so that a walk with any step comes past every entry. */
#define STICKY_LEN 4093

#define NOBODY UINT16_MAX

/* Slots of one side with different numbers of entries need 1 + 2 + ... + 90 = 4095 of them, so a
 * side has at most 90 different numbers. */
#define GROUP_MAX 90

_Static_assert(STICKY_LEN <= RPD_RING_MAX, "sticky ring");
_Static_assert((GROUP_MAX + 1) * (GROUP_MAX + 2) / 2 > RPD_RING_MAX, "groups of a side");
_Static_assert(RPD_SLOT_MAX <= STICKY_LEN, "an entry for every slot");

/* ---- Who ---- */

static bool schedule_is_admitted(const struct rpd_slot *slot)
{
	return slot->state == RPD_SLOT_ACTIVE || slot->state == RPD_SLOT_DRAINING;
}

static bool schedule_is_healthy(const struct rpd_slot *slot)
{
	return !(slot->flags & (RPD_SLOT_DEAD | RPD_SLOT_STALLED));
}

/* Marks in @in the slots that the user wants in the ring. Returns whether there are any. */
static bool schedule_mark_wanted(const struct rpd_schedule *s, bool only_healthy,
                                 bool in[RPD_SLOT_MAX])
{
	bool found = false;

	for (unsigned int i = 0; i < s->n_slots; i++) {
		const struct rpd_slot *slot = &s->slots[i];

		in[i] = slot->state == RPD_SLOT_ACTIVE && slot->weight > 0 &&
		        (s->only_version == RPD_NO_VERSION || slot->version == s->only_version) &&
		        (schedule_is_healthy(slot) || !only_healthy);
		found |= in[i];
	}
	return found;
}

static bool schedule_mark_eligible(const struct rpd_schedule *s, bool in[RPD_SLOT_MAX])
{
	return schedule_mark_wanted(s, true, in) || schedule_mark_wanted(s, false, in);
}

/* Marks the slots of the base table: all that have a weight, however they are at the moment, so
 * that the table stays the same when a worker drains, dies or comes back. */
static void schedule_mark_base(const struct rpd_schedule *s, bool in[RPD_SLOT_MAX])
{
	for (unsigned int i = 0; i < s->n_slots; i++)
		in[i] = schedule_is_admitted(&s->slots[i]) && s->slots[i].weight > 0;
}

/* ---- How many ---- */

struct member {
	uint16_t slot;
	uint16_t weight;
	uint16_t entries;
};

enum side_name {
	SIDE_REST,
	SIDE_CANARY,
	SIDE_MAX,
};

struct side {
	unsigned int permille; /* its share of the ring */
	unsigned int weight;   /* sum over its members */
	unsigned int entries;  /* sum over its members */
	unsigned int n_members;
	struct member members[RPD_SLOT_MAX]; /* in ascending slot order */
};

struct schedule_plan {
	unsigned int len;
	struct side sides[SIDE_MAX];
};

static enum side_name schedule_side_of(const struct rpd_schedule *s, unsigned int slot)
{
	bool has_canary = s->canary_permille > 0 && s->canary_permille < PERMILLE;

	return has_canary && (s->slots[slot].flags & RPD_SLOT_CANARY) ? SIDE_CANARY : SIDE_REST;
}

/* The shortest ring: one entry for each slot that is marked in @in. */
static void schedule_plan_init(struct schedule_plan *plan, const struct rpd_schedule *s,
                               const bool in[RPD_SLOT_MAX])
{
	struct side *rest = &plan->sides[SIDE_REST], *canary = &plan->sides[SIDE_CANARY];

	memset(plan, 0, sizeof(*plan));
	for (unsigned int i = 0; i < s->n_slots; i++) {
		struct side *side = &plan->sides[schedule_side_of(s, i)];

		if (!in[i])
			continue;
		side->members[side->n_members++] =
		        (struct member){.slot = i, .weight = s->slots[i].weight, .entries = 1};
		side->weight += s->slots[i].weight;
		side->entries++;
		plan->len++;
	}

	/* A side without the other has all: a canary needs somebody to be compared with. */
	if (canary->n_members > 0)
		canary->permille = rest->n_members > 0 ? s->canary_permille : PERMILLE;
	rest->permille = PERMILLE - canary->permille;
}

/*
 * Gives the side's next entry to the member that has least for its weight. Comparing n + 1/2 is
 * Webster's method of apportionment: it rounds a share to the nearer number, it is exact as soon as
 * that is possible, and the counts for one entry more are those for one less plus an entry. So all
 * ring lengths are seen in one pass. (Largest remainders, which lack that, round small shares
 * worse.)
 */
static void schedule_side_grow(struct side *side)
{
	struct member *neediest = &side->members[0];

	for (unsigned int i = 1; i < side->n_members; i++) {
		struct member *m = &side->members[i];

		if ((2 * m->entries + 1) * neediest->weight <
		    (2 * neediest->entries + 1) * m->weight)
			neediest = m;
	}
	neediest->entries++;
	side->entries++;
}

/* Makes the ring longer by one entry. It is the canary's as long as the canary has less than the
 * whole number that is nearest to its share. (Each side begins with an entry for every slot; where
 * that is too much already, the other side gets all the rest.) */
static void schedule_plan_grow(struct schedule_plan *plan)
{
	struct side *rest = &plan->sides[SIDE_REST], *canary = &plan->sides[SIDE_CANARY];
	unsigned int nearest;

	plan->len++;
	nearest = (plan->len * canary->permille + PERMILLE / 2) / PERMILLE;
	schedule_side_grow(canary->entries < nearest ? canary : rest);
}

/* How far the share of @m is from its ideal, relative to the ideal, rounded up. With a common
 * denominator the ideal is permille * weight * len, which is 4.2e9 at most, and the actual share
 * entries * side->weight * 1000, which is 4.2e12 at most: both fit, also a million times. */
static uint64_t schedule_member_error(const struct member *m, const struct side *side,
                                      unsigned int len)
{
	uint64_t ideal = (uint64_t)side->permille * m->weight * len;
	uint64_t actual = (uint64_t)m->entries * side->weight * PERMILLE;
	uint64_t error = actual > ideal ? actual - ideal : ideal - actual;

	return (error * PPM + ideal - 1) / ideal;
}

/* The largest error of a member: of the one that has most for its weight, or of the one that has
 * least. */
static uint64_t schedule_side_error(const struct side *side, unsigned int len)
{
	const struct member *most = &side->members[0], *least = most;
	uint64_t over, under;

	if (side->n_members == 0)
		return 0;
	for (unsigned int i = 1; i < side->n_members; i++) {
		const struct member *m = &side->members[i];

		if (m->entries * most->weight > most->entries * m->weight)
			most = m;
		if (m->entries * least->weight < least->entries * m->weight)
			least = m;
	}
	over = schedule_member_error(most, side, len);
	under = schedule_member_error(least, side, len);
	return over > under ? over : under;
}

/* The largest error of a slot. A side's share, being the sum, is never further off than the worst
 * of its slots. */
static uint64_t schedule_plan_error(const struct schedule_plan *plan)
{
	uint64_t rest = schedule_side_error(&plan->sides[SIDE_REST], plan->len);
	uint64_t canary = schedule_side_error(&plan->sides[SIDE_CANARY], plan->len);

	return rest > canary ? rest : canary;
}

/* Grows @plan to the best length: the shortest of those with the least error. */
static void schedule_plan_fit(struct schedule_plan *plan)
{
	struct schedule_plan trial = *plan;
	uint64_t least = schedule_plan_error(&trial);

	while (least > 0 && trial.len < RPD_RING_MAX) {
		uint64_t error;

		schedule_plan_grow(&trial);
		error = schedule_plan_error(&trial);
		if (error < least) {
			least = error;
			*plan = trial;
		}
	}
}

/* ---- In what order: round robin ---- */

/* Smooth weighted round robin as nginx does it: everybody saves up their weight each turn, the
 * richest has the turn and pays for it with the total. */
struct wrr {
	unsigned int n;
	int total;
	int weight[GROUP_MAX];
	int credit[GROUP_MAX];
};

static void schedule_wrr_add(struct wrr *w, unsigned int i, int weight)
{
	w->weight[i] += weight;
	w->total += weight;
}

static unsigned int schedule_wrr_next(struct wrr *w)
{
	unsigned int best = 0;

	for (unsigned int i = 0; i < w->n; i++) {
		w->credit[i] += w->weight[i];
		if (w->credit[i] > w->credit[best])
			best = i;
	}
	w->credit[best] -= w->total;
	return best;
}

/*
 * A side's slots in turn. Those with the same number of entries are a group and take turns in slot
 * order, so that equal workers are never more than one connection apart; only groups of different
 * numbers are interleaved by weight.
 */
struct wheel {
	const struct side *side;
	struct wrr groups;
	uint16_t turn[GROUP_MAX]; /* member that has the group's next turn */
};

static void schedule_wheel_init(struct wheel *wheel, const struct side *side)
{
	*wheel = (struct wheel){.side = side};
	for (unsigned int i = 0; i < side->n_members; i++) {
		unsigned int entries = side->members[i].entries, g = 0;

		while (g < wheel->groups.n && side->members[wheel->turn[g]].entries != entries)
			g++;
		if (g == wheel->groups.n)
			wheel->turn[wheel->groups.n++] = i;
		schedule_wrr_add(&wheel->groups, g, entries);
	}
}

static unsigned int schedule_wheel_next(struct wheel *wheel)
{
	const struct side *side = wheel->side;
	unsigned int g = schedule_wrr_next(&wheel->groups), now = wheel->turn[g], next = now;

	do
		next = (next + 1) % side->n_members;
	while (side->members[next].entries != side->members[now].entries);
	wheel->turn[g] = next;
	return side->members[now].slot;
}

/* Lays the entries out evenly: first the sides are interleaved, so that the canary is spread out
 * whatever it consists of, then the groups of each side, then the slots of each group. */
static void schedule_plan_order(const struct schedule_plan *plan, uint16_t ring[RPD_RING_MAX])
{
	struct wrr sides = {.n = SIDE_MAX};
	struct wheel wheels[SIDE_MAX];

	for (unsigned int i = 0; i < SIDE_MAX; i++) {
		schedule_wrr_add(&sides, i, plan->sides[i].entries);
		schedule_wheel_init(&wheels[i], &plan->sides[i]);
	}
	for (unsigned int i = 0; i < plan->len; i++)
		ring[i] = schedule_wheel_next(&wheels[schedule_wrr_next(&sides)]);
}

static void schedule_report_plan(struct rpd_schedule *s, const struct schedule_plan *plan)
{
	uint64_t error = schedule_plan_error(plan);

	s->ring_len = plan->len;
	s->rounding_ppm = error < UINT32_MAX ? error : UINT32_MAX;
}

static void schedule_fill_round_robin(struct rpd_schedule *s, const bool eligible[RPD_SLOT_MAX])
{
	struct schedule_plan plan;

	schedule_plan_init(&plan, s, eligible);
	schedule_plan_fit(&plan);
	schedule_plan_order(&plan, s->ring);
	schedule_report_plan(s, &plan);
}

/* ---- In what order: sticky ---- */

/* A walk through a sticky table: comes to every entry once, in an order that its key decides. */
struct walk {
	uint16_t at;
	uint16_t step;
};

/* One step of Steele, Lea and Flood's SplitMix64. */
static uint64_t schedule_mix(uint64_t key)
{
	uint64_t z = (key + 1) * 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static struct walk schedule_walk_start(unsigned int key)
{
	uint64_t hash = schedule_mix(key);

	return (struct walk){(uint32_t)hash % STICKY_LEN, 1 + (hash >> 32) % (STICKY_LEN - 1)};
}

static void schedule_walk_on(struct walk *walk)
{
	walk->at += walk->step;
	if (walk->at >= STICKY_LEN)
		walk->at -= STICKY_LEN;
}

/* A table as in Maglev (Eisenbud et al., NSDI 2016): each slot walks the table in an order of its
 * own, and at its turn takes the next entry that is free. With the round-robin ring as the order of
 * the turns, each slot gets exactly the entries that it was given there. */
static void schedule_fill_base(const struct schedule_plan *plan, uint16_t base[STICKY_LEN])
{
	uint16_t turns[RPD_RING_MAX];
	struct walk walks[RPD_SLOT_MAX];

	for (unsigned int i = 0; i < RPD_SLOT_MAX; i++)
		walks[i] = schedule_walk_start(i);
	for (unsigned int i = 0; i < STICKY_LEN; i++)
		base[i] = NOBODY;
	schedule_plan_order(plan, turns);
	for (unsigned int i = 0; i < STICKY_LEN; i++) {
		struct walk *walk = &walks[turns[i]];

		while (base[walk->at] != NOBODY)
			schedule_walk_on(walk);
		base[walk->at] = turns[i];
	}
}

/* Marks who may inherit from a slot of @side that is out: its own side, which keeps the canary's
 * share as it is, or if all of that is out, anybody. */
static void schedule_mark_heirs(const struct rpd_schedule *s, const bool eligible[RPD_SLOT_MAX],
                                enum side_name side, bool in[RPD_SLOT_MAX])
{
	bool found = false;

	for (unsigned int i = 0; i < s->n_slots; i++) {
		in[i] = eligible[i] && schedule_side_of(s, i) == side;
		found |= in[i];
	}
	if (!found)
		memcpy(in, eligible, s->n_slots * sizeof(in[0]));
}

/*
 * Who has @entry if its owner in the base table is out: the first heir on the entry's walk through
 * that table. So each entry ranks all slots in an order of its own, with chances by weight, and
 * goes to the first one that can have it (which is rendezvous hashing): a slot that leaves moves
 * only what it had, and gets just that back when it returns.
 */
static uint16_t schedule_find_heir(const uint16_t base[STICKY_LEN], const bool heirs[RPD_SLOT_MAX],
                                   unsigned int entry)
{
	struct walk walk = schedule_walk_start(RPD_SLOT_MAX + entry);

	while (!heirs[base[walk.at]])
		schedule_walk_on(&walk);
	return base[walk.at];
}

/* rounding_ppm is of the base table: how the entries of a slot that is out are spread over the
 * others is left to chance. */
static void schedule_fill_sticky(struct rpd_schedule *s, const bool eligible[RPD_SLOT_MAX])
{
	bool in_base[RPD_SLOT_MAX], heirs[SIDE_MAX][RPD_SLOT_MAX];
	uint16_t base[STICKY_LEN];
	struct schedule_plan plan;

	schedule_mark_base(s, in_base);
	schedule_plan_init(&plan, s, in_base);
	while (plan.len < STICKY_LEN)
		schedule_plan_grow(&plan);
	schedule_fill_base(&plan, base);
	for (unsigned int i = 0; i < SIDE_MAX; i++)
		schedule_mark_heirs(s, eligible, i, heirs[i]);
	for (unsigned int i = 0; i < STICKY_LEN; i++)
		s->ring[i] =
		        eligible[base[i]]
		                ? base[i]
		                : schedule_find_heir(base, heirs[schedule_side_of(s, base[i])], i);
	schedule_report_plan(s, &plan);
}

/* ---- What else the steering program reads ---- */

static void schedule_count_entries(struct rpd_schedule *s)
{
	for (unsigned int i = 0; i < s->n_slots; i++)
		s->slots[i].entries = 0;
	for (unsigned int i = 0; i < s->ring_len; i++)
		s->slots[s->ring[i]].entries++;
}

/* In the order in which they may be given a connection that can't go where the ring says. */
enum rank {
	RANK_RING,
	RANK_STANDBY, /* served, but of a version that is switched off */
	RANK_OUT,     /* drained, or without a weight */
	RANK_STALLED, /* whatever it gets hangs */
	RANK_MAX,
	RANK_NONE = RANK_MAX,
};

static enum rank schedule_rank_of(const struct rpd_schedule *s, unsigned int slot)
{
	const struct rpd_slot *it = &s->slots[slot];

	if (!schedule_is_admitted(it))
		return RANK_NONE;
	if (schedule_has(s, slot))
		return RANK_RING;
	if (it->flags & RPD_SLOT_STALLED)
		return RANK_STALLED;
	return it->state == RPD_SLOT_ACTIVE && it->weight > 0 ? RANK_STANDBY : RANK_OUT;
}

/* Appends the slots of this rank and version; returns how many. */
static unsigned int schedule_list_rank(struct rpd_schedule *s, enum rank rank, unsigned int version)
{
	unsigned int before = s->n_candidates;

	for (unsigned int i = 0; i < s->n_slots; i++)
		if (s->slots[i].version == version && schedule_rank_of(s, i) == rank)
			s->candidates[s->n_candidates++] = i;
	return s->n_candidates - before;
}

static void schedule_list_candidates(struct rpd_schedule *s)
{
	s->n_candidates = 0;
	for (enum rank rank = 0; rank < RANK_MAX; rank++) {
		for (unsigned int v = 0; v < RPD_VERSION_MAX; v++) {
			struct rpd_version *version = &s->versions[v];
			unsigned int first = s->n_candidates, n = schedule_list_rank(s, rank, v);

			if (rank == RANK_RING) {
				version->first = first;
				version->count = n;
			} else if (rank == RANK_STANDBY) {
				version->standby_first = first;
				version->standby_count = n;
			}
		}
		if (rank == RANK_RING)
			s->n_ring_slots = s->n_candidates;
	}
}

static bool schedule_version_is_used(const struct rpd_schedule *s, unsigned int version)
{
	for (unsigned int i = 0; i < s->n_slots; i++)
		if (s->slots[i].version == version && schedule_is_admitted(&s->slots[i]))
			return true;
	return version == s->only_version;
}

static void schedule_forget_unused_versions(struct rpd_schedule *s)
{
	for (unsigned int v = 0; v < RPD_VERSION_MAX; v++)
		if (!schedule_version_is_used(s, v))
			s->versions[v] = (struct rpd_version){};
}

/* ---- API ---- */

void schedule_init(struct rpd_schedule *s)
{
	*s = (struct rpd_schedule){.policy = RPD_ROUND_ROBIN, .only_version = RPD_NO_VERSION};
}

void schedule_build(struct rpd_schedule *s)
{
	bool eligible[RPD_SLOT_MAX];

	s->ring_len = 0;
	s->rounding_ppm = 0;
	memset(s->ring, 0, sizeof(s->ring));
	memset(s->candidates, 0, sizeof(s->candidates));
	if (schedule_mark_eligible(s, eligible)) {
		if (s->policy == RPD_STICKY)
			schedule_fill_sticky(s, eligible);
		else
			schedule_fill_round_robin(s, eligible);
	}
	schedule_count_entries(s);
	schedule_list_candidates(s);
	schedule_forget_unused_versions(s);
}

bool schedule_has(const struct rpd_schedule *s, unsigned int slot)
{
	return slot < s->n_slots && s->slots[slot].entries > 0;
}

bool schedule_is_served(const struct rpd_schedule *s)
{
	for (unsigned int i = 0; i < s->n_slots; i++)
		if (schedule_has(s, i) && schedule_is_healthy(&s->slots[i]))
			return true;
	return false;
}

int schedule_version_find(const struct rpd_schedule *s, const char *label)
{
	if (!label[0])
		return -1;
	for (int v = 0; v < RPD_VERSION_MAX; v++)
		if (strcmp(s->versions[v].label, label) == 0)
			return v;
	return -1;
}

static const char *const policy_names[] = {
        [RPD_ROUND_ROBIN] = "round-robin",
        [RPD_STICKY] = "sticky",
};
_Static_assert(sizeof(policy_names) / sizeof(policy_names[0]) == RPD_POLICY_MAX,
               "a name for each policy");

int schedule_policy_parse(const char *text, enum rpd_policy *ret)
{
	for (unsigned int policy = 0; policy < RPD_POLICY_MAX; policy++)
		if (!strcmp(text, policy_names[policy])) {
			*ret = policy;
			return 0;
		}
	return -EINVAL;
}

const char *schedule_policy_name(enum rpd_policy policy)
{
	return policy_names[policy];
}

bool schedule_label_is_valid(const char *label)
{
	size_t len = 0;

	while (label[len] > ' ' && label[len] <= '~')
		len++;
	return len > 0 && len < RPD_LABEL_MAX && label[len] == '\0';
}

int schedule_version_add(struct rpd_schedule *s, const char *label)
{
	int found = schedule_version_find(s, label);

	if (!schedule_label_is_valid(label))
		return -EINVAL;
	if (found >= 0)
		return found;
	for (int v = 0; v < RPD_VERSION_MAX; v++)
		if (!s->versions[v].label[0]) {
			strcpy(s->versions[v].label, label); /* its length was checked */
			return v;
		}
	return -ENOSPC;
}
