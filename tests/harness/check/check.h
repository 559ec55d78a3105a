/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The check framework: named cases that pass, fail or are skipped, and a main() that runs them in
 * namespaces of their own (namespaces.h).
 *
 * A check that fails ends its case, from any function of the main thread: the stack is unwound, so
 * that what _cleanup_ attributes guard is released, then the functions of check_at_end() are
 * called. In a child process it ends the child, and fails the case. A thread must not check.
 *
 * Output: a line "ok NAME", "FAILED NAME: REASON" or "skipped NAME: REASON" for each case, and at
 * the end "N passed, N failed, N skipped". Exit status: 0, 1 if a case failed, 2 if no case was
 * selected. Environment: RPD_CASE (the exact name of the only case to run), RPD_SLOW (deadline.h),
 * RPD_RETRY (run a case that fails once more), RPD_FULL (check_is_full()).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "check/deadline.h"

struct check_case {
	const char *name;
	void (*run)(void);
	/* In place of run: */
	void (*run_with)(const void *data);
	const void *data;
	bool apart; /* runs in a child process, since it changes what the process may do or see */
};

/* A case that is named like its function. */
#define CHECK_CASE(function)                                                                       \
	{                                                                                          \
		.name = #function, .run = (function)                                               \
	}

/* Runs all cases, or with arguments "-k NAME" the cases with a NAME in their name. Returns the exit
 * status. */
int check_main(int argc, char **argv, const struct check_case *cases, size_t n);

/* Whether RPD_FULL is set, as `tools/test --full` does: a case with a sample runs its long form. */
bool check_is_full(void);

/* Calls @end when the case ends, however it ends. Each function is called once, in reverse order of
 * registration. */
void check_at_end(void (*end)(void));

/* End the case, which has failed or is skipped. */
__attribute__((noreturn, format(printf, 3, 4))) void check_fail(const char *file, int line,
                                                                const char *format, ...);
__attribute__((noreturn, format(printf, 1, 2))) void check_skip(const char *format, ...);

/* Fails the case with this message, unless the condition is true. */
#define CHECK_MSG(condition, ...)                                                                  \
	do {                                                                                       \
		if (!(condition))                                                                  \
			check_fail(__FILE__, __LINE__, __VA_ARGS__);                               \
	} while (0)

#define CHECK(condition) CHECK_MSG(condition, "%s", #condition)

#define CHECK_EQ(value, expected)                                                                  \
	do {                                                                                       \
		const long long _is = (long long)(value), _expected = (long long)(expected);       \
		CHECK_MSG(_is == _expected, "%s is %lld, not %lld", #value, _is, _expected);       \
	} while (0)

#define CHECK_BETWEEN(value, low, high)                                                            \
	do {                                                                                       \
		const long long _is = (long long)(value), _low = (low), _high = (high);            \
		CHECK_MSG(_is >= _low && _is <= _high, "%s is %lld, not %lld to %lld", #value,     \
		          _is, _low, _high);                                                       \
	} while (0)

/* Waits until the condition is true. Its value is false if the deadline comes first. */
#define check_until(condition)                                                                     \
	({                                                                                         \
		const int64_t _end = deadline_ms();                                                \
		bool _true;                                                                        \
		while (!(_true = (condition)) && deadline_clock_ms() < _end)                       \
			deadline_pause();                                                          \
		_true;                                                                             \
	})

#define CHECK_UNTIL(condition)                                                                     \
	CHECK_MSG(check_until(condition), "%s: not within %d s", #condition, DEADLINE_S)
