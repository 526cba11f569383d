/* A stand-in for libnvidia-ml.so.1: a GPU cannot exist on most test machines, the way to it can.
 *
 * The real pynvml calls this through ctypes, with the real structures of nvml.h. What it answers stands in a file
 * named by FAKE_NVML_STATE, read anew at every call, one `key=value` a line:
 *
 *     count=2              driver=580.1          init=!9
 *     gpu0.power=412500    gpu0.util=73          gpu1.handle=!15    gpu0.delay_ms=5
 *
 * `!N` is NVML's return code N; a key that is absent is "not supported" (3).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
       TIMEOUT = 10 };

typedef struct { int gpu; int slice; } Device; /* slice -1: the board itself */
typedef Device *Handle;

static Device devices[64][8];
static int initialised = 0;
static int events_taken = 0;

static int look(const char *key, char *value, size_t size) {
    const char *path = getenv("FAKE_NVML_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512];
    size_t length = strlen(key);
    int result = NOT_SUPPORTED;
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, length) || line[length] != '=') continue;
        line[strcspn(line, "\n")] = 0;
        if (line[length + 1] == '!') { result = atoi(line + length + 2); break; }
        snprintf(value, size, "%s", line + length + 1);
        result = OK;
        break;
    }
    if (file) fclose(file);
    return result;
}

static int ask(Handle device, const char *what, char *value, size_t size) {
    char key[96];
    if (!initialised) return UNINITIALIZED;
    if (!device) return INVALID_ARGUMENT;
    if (device->slice >= 0) snprintf(key, sizeof key, "gpu%d.mig%d.%s", device->gpu, device->slice, what);
    else snprintf(key, sizeof key, "gpu%d.%s", device->gpu, what);
    return look(key, value, size);
}

static int number(Handle device, const char *what, unsigned long long *answer) {
    char value[256];
    int result = ask(device, what, value, sizeof value);
    if (result == OK) *answer = strtoull(value, NULL, 0);
    return result;
}

static int small(Handle device, const char *what, unsigned int *answer) {
    unsigned long long wide;
    int result = number(device, what, &wide);
    if (result == OK) *answer = (unsigned int)wide;
    return result;
}

static int text(Handle device, const char *what, char *answer, unsigned int size) {
    return ask(device, what, answer, size);
}

int nvmlInitWithFlags(unsigned int flags) {
    char value[64];
    (void)flags;
    int result = look("init", value, sizeof value);
    if (result != OK && result != NOT_SUPPORTED) return result;
    initialised++;
    events_taken = 0;
    return OK;
}
int nvmlShutdown(void) {
    if (!initialised) return UNINITIALIZED;
    initialised--;
    return OK;
}
const char *nvmlErrorString(int result) { (void)result; return "stand-in error"; }
int nvmlSystemGetDriverVersion(char *version, unsigned int size) {
    return initialised ? look("driver", version, size) : UNINITIALIZED;
}
int nvmlDeviceGetCount_v2(unsigned int *count) {
    char value[64] = "0";
    if (!initialised) return UNINITIALIZED;
    int result = look("count", value, sizeof value);
    if (result == OK) *count = (unsigned int)atoi(value);
    return result;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, Handle *device) {
    char key[64], value[64];
    if (!initialised) return UNINITIALIZED;
    snprintf(key, sizeof key, "gpu%u.handle", index);
    int result = look(key, value, sizeof value);
    if (result != OK && result != NOT_SUPPORTED) return result;
    devices[index][7] = (Device){(int)index, -1};
    *device = &devices[index][7];
    unsigned long long delay;
    if (number(*device, "delay_ms", &delay) == OK) {
        struct timespec pause = {(time_t)(delay / 1000), (long)(delay % 1000) * 1000000};
        nanosleep(&pause, NULL);
    }
    return OK;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, Handle *device) {
    char key[64], value[128];
    for (unsigned int index = 0; index < 64; index++) {
        snprintf(key, sizeof key, "gpu%u.uuid", index);
        if (look(key, value, sizeof value) == OK && strcmp(value, uuid) == 0)
            return nvmlDeviceGetHandleByIndex_v2(index, device);
    }
    return initialised ? NOT_FOUND : UNINITIALIZED;
}
int nvmlDeviceGetIndex(Handle device, unsigned int *index) { *index = (unsigned int)device->gpu; return OK; }
int nvmlDeviceGetUUID(Handle device, char *uuid, unsigned int size) { return text(device, "uuid", uuid, size); }
int nvmlDeviceGetName(Handle device, char *name, unsigned int size) { return text(device, "name", name, size); }

typedef struct { unsigned int gpu, memory; } Utilization;
int nvmlDeviceGetUtilizationRates(Handle device, Utilization *rates) {
    int result = small(device, "util", &rates->gpu);
    if (result == OK && small(device, "memory_util", &rates->memory) != OK) rates->memory = 0;
    return result;
}

typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } Memory2;
int nvmlDeviceGetMemoryInfo(Handle device, Memory *memory) {
    unsigned long long reserved = 0;
    int result = number(device, "memory_used", &memory->used);
    if (result == OK) result = number(device, "memory_total", &memory->total);
    if (result != OK) return result;
    number(device, "memory_reserved", &reserved);
    memory->used += reserved; /* version 1 counts the driver's reserve as used */
    memory->free = memory->total - memory->used;
    return OK;
}
#ifndef OLD_DRIVER
int nvmlDeviceGetMemoryInfo_v2(Handle device, Memory2 *memory) {
    int result = number(device, "memory_used", &memory->used);
    if (result == OK) result = number(device, "memory_total", &memory->total);
    if (result != OK) return result;
    memory->reserved = 0;
    number(device, "memory_reserved", &memory->reserved);
    memory->free = memory->total - memory->used - memory->reserved;
    return OK;
}
int nvmlDeviceGetCurrentClocksEventReasons(Handle device, unsigned long long *reasons) {
    return number(device, "reasons", reasons);
}
#endif
int nvmlDeviceGetCurrentClocksThrottleReasons(Handle device, unsigned long long *reasons) {
    return number(device, "reasons", reasons);
}
int nvmlDeviceGetPowerUsage(Handle device, unsigned int *milliwatts) { return small(device, "power", milliwatts); }
int nvmlDeviceGetEnforcedPowerLimit(Handle device, unsigned int *milliwatts) {
    return small(device, "power_limit", milliwatts);
}
int nvmlDeviceGetTemperature(Handle device, int sensor, unsigned int *celsius) {
    (void)sensor;
    return small(device, "temperature", celsius);
}
int nvmlDeviceGetClockInfo(Handle device, int domain, unsigned int *megahertz) {
    return small(device, domain == 1 ? "sm_clock" : domain == 2 ? "memory_clock" : "other_clock", megahertz);
}
int nvmlDeviceGetTotalEnergyConsumption(Handle device, unsigned long long *millijoules) {
    return number(device, "energy", millijoules);
}
int nvmlDeviceGetTotalEccErrors(Handle device, int kind, int counter, unsigned long long *count) {
    return number(device, kind == 1 && counter == 0 ? "ecc_uncorrected" : "ecc_other", count);
}
int nvmlDeviceGetMigMode(Handle device, unsigned int *now, unsigned int *pending) {
    int result = small(device, "mig", now);
    if (result == OK) *pending = *now;
    return result;
}
int nvmlDeviceGetMaxMigDeviceCount(Handle device, unsigned int *count) { return small(device, "mig_places", count); }
int nvmlDeviceGetMigDeviceHandleByIndex(Handle device, unsigned int place, Handle *slice) {
    char value[256];
    devices[device->gpu][place] = (Device){device->gpu, (int)place};
    if (ask(&devices[device->gpu][place], "uuid", value, sizeof value) != OK) return NOT_FOUND;
    *slice = &devices[device->gpu][place];
    return OK;
}

/* processes: gpu0.compute=PID:BYTES,PID:BYTES */
typedef struct { unsigned int pid; unsigned long long bytes; unsigned int gpu_instance, compute_instance; } Process;
static int processes(Handle device, const char *what, unsigned int *count, Process *list) {
    char value[512];
    int result = ask(device, what, value, sizeof value);
    if (result != OK) return result;
    unsigned int found = 0;
    for (char *item = strtok(value, ","); item; item = strtok(NULL, ",")) {
        if (list && found < *count) {
            char *colon = strchr(item, ':');
            list[found] = (Process){(unsigned int)atoi(item), strtoull(colon + 1, NULL, 0), ~0u, ~0u};
        }
        found++;
    }
    unsigned int room = list ? *count : 0;
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(Handle device, unsigned int *count, Process *list) {
    return processes(device, "compute", count, list);
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(Handle device, unsigned int *count, Process *list) {
    return processes(device, "graphics", count, list);
}

/* Xid events: events=GPU:CODE,GPU:CODE, each delivered once in the order written */
typedef struct { Handle device; unsigned long long type, data; unsigned int gpu_instance, compute_instance; } Event;
int nvmlDeviceGetSupportedEventTypes(Handle device, unsigned long long *types) {
    return number(device, "event_types", types);
}
int nvmlEventSetCreate(void **set) { *set = &events_taken; return initialised ? OK : UNINITIALIZED; }
int nvmlEventSetFree(void *set) { (void)set; return OK; }
int nvmlDeviceRegisterEvents(Handle device, unsigned long long types, void *set) {
    unsigned long long supported;
    (void)set;
    int result = number(device, "event_types", &supported);
    return result != OK ? result : (types & ~supported) ? NOT_SUPPORTED : OK;
}
int nvmlEventSetWait_v2(void *set, Event *event, unsigned int milliseconds) {
    char value[512];
    (void)set; (void)milliseconds;
    int result = look("events", value, sizeof value);
    if (result == NOT_SUPPORTED) return TIMEOUT;
    if (result != OK) return result;
    int place = 0;
    for (char *item = strtok(value, ","); item; item = strtok(NULL, ","), place++) {
        if (place != events_taken) continue;
        int gpu = atoi(item);
        devices[gpu][7] = (Device){gpu, -1};
        *event = (Event){&devices[gpu][7], 8, strtoull(strchr(item, ':') + 1, NULL, 0), 0, 0};
        events_taken++;
        return OK;
    }
    return TIMEOUT;
}
