/* A stand-in for NVIDIA's management library: enough of NVML for pynvml to run on a machine without a card.
 *
 * What it says stands in a file that $NVML_STANDIN names, read again whenever it changes. A line is KEY=VALUE; a key
 * may begin with a card's number (`1.temp`), with that of a card and of a MIG instance (`0.2.used`), or with neither.
 * KEY.err=N has a question fail with NVML's code N. Without the variable there is no driver (code 9).
 * It simulates plumbing, not readings: what a real card says is not in here.
 *
 * Like the real one it must be opened in the process that asks: a forked child is told that it is not initialised.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_DRIVER = 9, MISMATCH = 25 };
enum { CARDS = 16, INSTANCES = 7, LINES = 512, LENGTH = 1024 };

typedef struct { int card, instance; } Device; /* instance -1: the card itself */

static Device cards[CARDS], instances[CARDS][INSTANCES];
static struct { char key[64], value[LENGTH]; } lines[LINES];
static int line_count, opened;
static pid_t opener;
static struct stat seen;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void reread(void) {
  const char *path = getenv("NVML_STANDIN");
  struct stat now;
  if (!path || stat(path, &now)) { line_count = 0; return; }
  if (now.st_ino == seen.st_ino && now.st_mtim.tv_nsec == seen.st_mtim.tv_nsec && now.st_mtim.tv_sec == seen.st_mtim.tv_sec
      && now.st_size == seen.st_size) return;
  FILE *file = fopen(path, "r");
  if (!file) return;
  seen = now; line_count = 0;
  char line[LENGTH + 64];
  while (line_count < LINES && fgets(line, sizeof line, file)) {
    char *equals = strchr(line, '=');
    if (!equals) continue;
    *equals = 0; equals[1 + strcspn(equals + 1, "\n")] = 0;
    snprintf(lines[line_count].key, sizeof lines[0].key, "%.63s", line);
    snprintf(lines[line_count].value, LENGTH, "%s", equals + 1);
    line_count++;
  }
  fclose(file);
}

static const char *find(const char *key) {
  for (int i = 0; i < line_count; i++) if (!strcmp(lines[i].key, key)) return lines[i].value;
  return NULL;
}

/* The value of a key, copied while the lock is held: another thread may read the file again. */
static int text(const Device *device, const char *key, char *copy) {
  char named[96];
  const char *value = NULL;
  pthread_mutex_lock(&lock);
  reread();
  if (device && device->instance >= 0) { snprintf(named, sizeof named, "%d.%d.%s", device->card, device->instance, key); value = find(named); }
  if (!value && device && device->instance < 0) { snprintf(named, sizeof named, "%d.%s", device->card, key); value = find(named); }
  if (!value) value = find(key);
  if (value) snprintf(copy, LENGTH, "%s", value);
  pthread_mutex_unlock(&lock);
  return value != NULL;
}

static uint64_t number(const Device *device, const char *key, uint64_t otherwise) {
  char copy[LENGTH];
  return text(device, key, copy) ? strtoull(copy, NULL, 0) : otherwise;
}

static int failure(const Device *device, const char *key) {
  char named[64];
  if (!opened || opener != getpid()) return UNINITIALIZED;
  if (!device) return INVALID;
  snprintf(named, sizeof named, "%s.err", key);
  int lost = (int)number(device, "all.err", SUCCESS);
  return lost ? lost : (int)number(device, named, SUCCESS);
}
#define ASK(key) do { int failed = failure(device, key); if (failed) return failed; } while (0)

static int put(char *buffer, unsigned size, const char *value) {
  if (strlen(value) + 1 > size) return TOO_SMALL;
  strcpy(buffer, value);
  return SUCCESS;
}

EXPORT int nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  if (!getenv("NVML_STANDIN")) return NO_DRIVER;
  int failed = (int)number(NULL, "init.err", SUCCESS);
  if (failed) return failed;
  for (int i = 0; i < CARDS; i++) {
    cards[i] = (Device){ i, -1 };
    for (int j = 0; j < INSTANCES; j++) instances[i][j] = (Device){ i, j };
  }
  opened = opener == getpid() ? opened + 1 : 1;
  opener = getpid();
  return SUCCESS;
}
EXPORT int nvmlShutdown(void) { if (!opened || opener != getpid()) return UNINITIALIZED; opened--; return SUCCESS; }
EXPORT const char *nvmlErrorString(int code) {
  return code == NO_DRIVER ? "Driver Not Loaded" : code == 15 ? "GPU is lost" : code == NOT_SUPPORTED ? "Not Supported" : "An error of the stand-in";
}
EXPORT int nvmlSystemGetDriverVersion(char *buffer, unsigned size) { return put(buffer, size, "0.0 stand-in"); }
EXPORT int nvmlDeviceGetCount_v2(unsigned *count) {
  if (!opened || opener != getpid()) return UNINITIALIZED;
  int failed = (int)number(NULL, "count.err", SUCCESS);
  if (failed) return failed;
  *count = (unsigned)number(NULL, "count", 1);
  return SUCCESS;
}
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **found) {
  unsigned count;
  int failed = nvmlDeviceGetCount_v2(&count);
  if (failed) return failed;
  if (index >= count || index >= CARDS) return INVALID;
  failed = failure(&cards[index], "handle");
  if (!failed) *found = &cards[index];
  return failed;
}
EXPORT int nvmlDeviceGetUUID(Device *device, char *buffer, unsigned size) {
  ASK("uuid");
  char value[LENGTH];
  if (device->instance >= 0) snprintf(value, sizeof value, "MIG-%08d-%d", device->card, device->instance);
  else snprintf(value, sizeof value, "GPU-%08d", device->card);
  text(device, "uuid", value);
  return put(buffer, size, value);
}
EXPORT int nvmlDeviceGetName(Device *device, char *buffer, unsigned size) {
  ASK("name");
  char value[LENGTH] = "Stand-in GPU";
  text(device, "name", value);
  return put(buffer, size, value);
}

#define ONE(function, key, otherwise) EXPORT int function(Device *device, unsigned *value) { ASK(key); *value = (unsigned)number(device, key, otherwise); return SUCCESS; }
ONE(nvmlDeviceGetPowerUsage, "power", 70000)
ONE(nvmlDeviceGetFanSpeed, "fan", 30)
ONE(nvmlDeviceGetMaxMigDeviceCount, "mig_most", INSTANCES)

EXPORT int nvmlDeviceGetUtilizationRates(Device *device, unsigned *rates) {
  ASK("utilization");
  rates[0] = (unsigned)number(device, "gpu", 0); rates[1] = (unsigned)number(device, "bus", 0);
  return SUCCESS;
}
EXPORT int nvmlDeviceGetEncoderUtilization(Device *device, unsigned *percent, unsigned *period) { ASK("encoder"); *percent = (unsigned)number(device, "encoder", 0); *period = 100000; return SUCCESS; }
EXPORT int nvmlDeviceGetDecoderUtilization(Device *device, unsigned *percent, unsigned *period) { ASK("decoder"); *percent = (unsigned)number(device, "decoder", 0); *period = 100000; return SUCCESS; }

struct memory { unsigned long long total, free, used; };
struct memory_v2 { unsigned version; unsigned long long total, reserved, free, used; };
EXPORT int nvmlDeviceGetMemoryInfo(Device *device, struct memory *memory) {
  ASK("memory_v1");
  memory->total = number(device, "total", 85899345920ULL);
  memory->used = number(device, "used", 0) + number(device, "reserved", 0);
  memory->free = memory->total - memory->used;
  return SUCCESS;
}
EXPORT int nvmlDeviceGetMemoryInfo_v2(Device *device, struct memory_v2 *memory) {
  ASK("memory");
  if (memory->version != (sizeof *memory | 2U << 24)) return MISMATCH;
  memory->total = number(device, "total", 85899345920ULL);
  memory->used = number(device, "used", 0);
  memory->reserved = number(device, "reserved", 0);
  memory->free = memory->total - memory->used - memory->reserved;
  return SUCCESS;
}
EXPORT int nvmlDeviceGetTotalEnergyConsumption(Device *device, unsigned long long *millijoules) { ASK("energy"); *millijoules = number(device, "energy", 0); return SUCCESS; }
EXPORT int nvmlDeviceGetTemperature(Device *device, unsigned sensor, unsigned *degrees) { (void)sensor; ASK("temp_v1"); *degrees = (unsigned)number(device, "temp", 40); return SUCCESS; }
struct temperature { unsigned version, sensor; int degrees; };
EXPORT int nvmlDeviceGetTemperatureV(Device *device, struct temperature *asked) {
  ASK("temp");
  if (asked->version != (sizeof *asked | 1U << 24)) return MISMATCH;
  asked->degrees = (int)number(device, "temp", 40);
  return SUCCESS;
}
EXPORT int nvmlDeviceGetClockInfo(Device *device, unsigned domain, unsigned *megahertz) {
  static const char *const keys[] = { "clock_graphics", "clock_sm", "clock_memory", "clock_video" };
  if (domain > 3) return INVALID;
  ASK(keys[domain]);
  *megahertz = (unsigned)number(device, keys[domain], 1980);
  return SUCCESS;
}
EXPORT int nvmlDeviceGetPcieThroughput(Device *device, unsigned counter, unsigned *kilobytes) { const char *key = counter ? "rx" : "tx"; ASK(key); *kilobytes = (unsigned)number(device, key, 0); return SUCCESS; }
EXPORT int nvmlDeviceGetTotalEccErrors(Device *device, unsigned kind, unsigned counter, unsigned long long *count) { (void)counter; const char *key = kind ? "uncorrected" : "corrected"; ASK(key); *count = number(device, key, 0); return SUCCESS; }
EXPORT int nvmlDeviceGetCurrentClocksThrottleReasons(Device *device, unsigned long long *mask) { ASK("throttle_v1"); *mask = number(device, "throttle", 0); return SUCCESS; }
EXPORT int nvmlDeviceGetCurrentClocksEventReasons(Device *device, unsigned long long *mask) { ASK("throttle"); *mask = number(device, "throttle", 0); return SUCCESS; }
EXPORT int nvmlDeviceGetMigMode(Device *device, unsigned *current, unsigned *pending) { ASK("mig"); *current = *pending = number(device, "mig", 0) != 0; return SUCCESS; }
EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned index, Device **found) {
  ASK("instance");
  if (index >= INSTANCES || index >= number(device, "mig", 0)) return NOT_FOUND;
  *found = &instances[device->card][index];
  return SUCCESS;
}
struct process { unsigned pid; unsigned long long bytes; unsigned gpu_instance, compute_instance; };
EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned *count, struct process *found) {
  ASK("processes");
  char list[LENGTH] = "", *rest = NULL; /* pid:bytes,pid:bytes */
  text(device, "processes", list);
  unsigned room = *count, number_of = 0;
  for (char *one = strtok_r(list, ",", &rest); one; one = strtok_r(NULL, ",", &rest), number_of++) {
    if (!found || number_of >= room) continue;
    char *colon = strchr(one, ':');
    found[number_of] = (struct process){ (unsigned)atoi(one), colon ? strtoull(colon + 1, NULL, 0) : ~0ULL, ~0U, ~0U };
  }
  *count = number_of;
  return number_of > room ? TOO_SMALL : SUCCESS;
}
struct field { unsigned id, scope; long long at, took; unsigned type; int status; union { double real; unsigned small; unsigned long long large; } value; };
EXPORT int nvmlDeviceGetFieldValues(Device *device, int count, struct field *fields) {
  ASK("fields");
  for (int i = 0; i < count; i++) { /* field.82=45 and, for another type, field.197.type=1 */
    char key[32], value[LENGTH];
    snprintf(key, sizeof key, "field.%u.type", fields[i].id);
    fields[i].type = (unsigned)number(device, key, 3);
    snprintf(key, sizeof key, "field.%u", fields[i].id);
    fields[i].status = text(device, key, value) ? failure(device, key) : NOT_SUPPORTED;
    if (!fields[i].status) fields[i].value.large = strtoull(value, NULL, 0);
  }
  return SUCCESS;
}
