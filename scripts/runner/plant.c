// SPDX-License-Identifier: GPL-2.0
/* Makes the kernel report a fault of a chosen kind, to prove that the test runner sees such reports. */
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/smp.h>

static char *kind = "warn";
module_param(kind, charp, 0);

static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);

/* Two locks in both orders: harmless with one task, but what lockdep is there to see. */
static void plant_deadlock(void)
{
	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);
	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
}

/* One byte past an allocation, hidden from the compiler: what KASAN is there to see. */
static int plant_overrun(void)
{
	size_t size = 13;
	char *p = kmalloc(size, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	OPTIMIZER_HIDE_VAR(size);
	WRITE_ONCE(p[size], 1);
	kfree(p);
	return 0;
}

/* No CPU gets any further. */
static void plant_stuck(void *unused)
{
	local_irq_disable();
	for (;;)
		cpu_relax();
}

/* Cannot be killed, while the kernel has something to say every second. */
static void plant_talks(void)
{
	for (;;) {
		pr_info("plant: still here\n");
		schedule_timeout_uninterruptible(HZ);
	}
}

/* A byte of what was given back: KASAN has other words for that. */
static int plant_freed(void)
{
	char *p = kmalloc(64, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	kfree(p);
	OPTIMIZER_HIDE_VAR(p);
	WRITE_ONCE(p[8], 1);
	return 0;
}

static int __init plant_init(void)
{
	if (!strcmp(kind, "overrun"))
		return plant_overrun();
	if (!strcmp(kind, "freed"))
		return plant_freed();
	if (!strcmp(kind, "lock"))
		plant_deadlock();
	else if (!strcmp(kind, "leak"))
		__module_get(THIS_MODULE);
	else if (!strcmp(kind, "talks"))
		plant_talks();
	else if (!strcmp(kind, "stuck"))
		on_each_cpu(plant_stuck, NULL, 0);
	else if (strcmp(kind, "late"))
		WARN(1, "planted");
	return 0;
}

static void __exit plant_exit(void)
{
	WARN(!strcmp(kind, "late"), "planted");
}

module_init(plant_init);
module_exit(plant_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Planted faults for the test runner's own test");
