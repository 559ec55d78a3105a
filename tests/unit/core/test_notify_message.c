/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/notify_message.h"

#define TEXT(text) text, sizeof(text) - 1

static void ready(void **state)
{
	assert_true(notify_message_is_ready(TEXT("READY=1")));
	assert_true(notify_message_is_ready(TEXT("READY=1\n")));
	assert_true(notify_message_is_ready(TEXT("READY=1\0")));
	assert_true(notify_message_is_ready(TEXT("STATUS=x\nREADY=1\nMAINPID=7")));
	assert_true(notify_message_is_ready(TEXT("\n\nREADY=1")));
}

static void not_ready(void **state)
{
	assert_false(notify_message_is_ready(TEXT("")));
	assert_false(notify_message_is_ready(TEXT("\n")));
	assert_false(notify_message_is_ready(TEXT("READY=0")));
	assert_false(notify_message_is_ready(TEXT("READY=10")));
	assert_false(notify_message_is_ready(TEXT(" READY=1")));
	assert_false(notify_message_is_ready(TEXT("XREADY=1")));
	assert_false(notify_message_is_ready(TEXT("READY=")));
	assert_false(notify_message_is_ready(TEXT("READY=1\0x")));
	assert_false(notify_message_is_ready(TEXT("READY=1\n\0STATUS=x")));
	/* One byte less than the line. */
	assert_false(notify_message_is_ready("READY=1", 6));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(ready),
	        cmocka_unit_test(not_ready),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
