/* Passes over a map of floats, for a batch normalisation and the gate behind it; see native.py.

   An image of the map is a matrix: a row per channel (N, C, P), or with LAST a row per place
   (N, P, C), P = H W. With x = a u + b, the map after the normalisation, and z = x g with a gate for
   each channel, d is the gradient for what the gate gives. Every function takes the images from
   first to last. Compiled without contraction, x and z have the same bits in each of them, so that a
   maximum found in one is found again in another. Sums are taken in blocks, and over blocks in
   double.
*/
#include <math.h>
#include <stddef.h>

#if defined(__FMA__) || defined(__aarch64__)
#define FMA(x, y, z) __builtin_fmaf(x, y, z)
#else
#define FMA(x, y, z) ((x) * (y) + (z))
#endif
#define UNITS 8    /* of a hidden layer at a time, which stay in the first cache with their weights */
#define LOGITS 64  /* the same of the next layer */
#define SHARED 4   /* inputs that share what is read of weights */
#define STRETCH 64 /* numbers that a lane sums in single precision */
#define BLOCK 4096 /* columns at a time: what is kept for each stays in the first caches */
#define GROUP 32   /* rows summed in single precision */
#define LONG 100   /* columns from which it pays to read whole lines of the caches */
#define AHEAD 2048 /* numbers from what is written to what is foretold, in rows that aren't longer */
#define SHORT 512  /* columns up to which the ends of rows weigh */

typedef const float *restrict In;
typedef float *restrict Out;
typedef const double *restrict Doubles;
typedef long Size;

#if LAST
#define ROWS P
#define COLUMNS C
#define OF_CHANNEL(t) AT((t) + k)
#define OF_PLACE(t) EVERY((t)[r])
#define PER_CHANNEL PER_COLUMN
#define PER_PLACE PER_ROW
#define BESIDE 4 /* rows at a time that share what they read of the channels */
#else
#define ROWS C
#define COLUMNS P
#define OF_CHANNEL(t) EVERY((t)[r])
#define OF_PLACE(t) AT((t) + k)
#define PER_CHANNEL PER_ROW
#define PER_PLACE PER_COLUMN
#define BESIDE 1
#endif

#define UNROLLED _Pragma("GCC unroll 16")
#define EACH _Pragma("GCC ivdep") /* an output is its own input at most */
#define SMALLER(x, y) ((x) < (y) ? (x) : (y))
#define LARGER(x, y) ((x) > (y) ? (x) : (y))
#define IMAGES for (Size n = first; n < last; n++)
#define EACH_ROW for (Size r = 0; r < ROWS; r++)
#define ROW(t) ((t) + (n * ROWS + r) * COLUMNS)
#define ROW_OF_U const float *row = ROW(u);
#define ROWS_OF_U_AND_D ROW_OF_U const float *grad = ROW(d);

#ifdef __AVX__
#include <immintrin.h>
#endif
#ifdef __AVX512F__ /* vectors as wide as the registers: wider ones are taken apart, lane by lane */
#define WIDE 16
#define REGISTERS 24 /* for what is kept, besides those that read it */
#define LANE 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#elif defined(__AVX__)
#define WIDE 8
#define REGISTERS 8
#define LANE 0, 1, 2, 3, 4, 5, 6, 7
#else
#define WIDE 4
#define REGISTERS 8
#define LANE 0, 1, 2, 3
#endif
typedef float V __attribute__((vector_size(4 * WIDE), aligned(4), may_alias));
typedef int M __attribute__((vector_size(4 * WIDE)));
typedef double D __attribute__((vector_size(8 * WIDE), aligned(8), may_alias));

/* Bodies of loops are written once for a number and for a vector, which is what T stands for. */
#define AT(t) (*(const T *)(t))
#define EVERY(x) ((x) - (T){0}) /* lane of T */
#define FOR(of_number, of_vector) _Generic((T){0}, float: of_number, default: of_vector)

static inline float larger_number(float x, float y) { return LARGER(x, y); }
static inline V larger_vector(V x, V y) {
#ifdef __AVX512F__ /* in one instruction what else takes two */
  return (V)_mm512_max_ps(x, y);
#else
  M first = x > y;
  return (V)(((M)x & first) | ((M)y & ~first));
#endif
}

static inline float fused_number(float x, float y, float z) { return FMA(x, y, z); }
static inline V fused_vector(V x, V y, V z) {
#ifdef __AVX512F__
  return (V)_mm512_fmadd_ps(x, y, z);
#elif defined(__AVX__) && defined(__FMA__)
  return (V)_mm256_fmadd_ps(x, y, z);
#else
  for (int i = 0; i < WIDE; i++) z[i] = FMA(x[i], y[i], z[i]);
  return z;
#endif
}

/* Read once: compilers would read a factor anew for each product. */
static inline V once(V x) {
#ifdef __AVX512F__
  __asm__("" : "+v"(x));
#elif defined(__AVX__)
  __asm__("" : "+x"(x));
#endif
  return x;
}

/* What z is where x and y are the same, else 0. */
static inline float where_number(float x, float y, float z) { return x == y ? z : 0; }
static inline V where_vector(V x, V y, V z) { return (V)((M)(x == y) & (M)z); }

static inline void add_number(double *to, float x) { *to += x; }
static inline void add_vector(double *to, V x) { *(D *)to += __builtin_convertvector(x, D); }

#define ADD FOR(add_number, add_vector)
#define LANES ((Size)(sizeof(T) / sizeof(float)))
#define STRIPE(KEPT) ((KEPT) < 2 ? REGISTERS / 2 : REGISTERS / (KEPT)) /* vectors side by side */
#define LARGER_OF FOR(larger_number, larger_vector)
#define FUSED FOR(fused_number, fused_vector)
#define WHERE_SAME FOR(where_number, where_vector)

/* Of so many lanes at an end x, zero in the others. */
static inline V first_of(V x, Size count) { return (V)((M)x & ((M){LANE} < (int)SMALLER(count, WIDE))); }
static inline V last_of(V x, Size count) { return (V)((M)x & ((M){LANE} >= (int)(WIDE - count))); }

/* In each lane what is so many further, past the last one those from the first on. */
static inline V turned(V x, Size by) {
  M from = (M){LANE} + (int)by;
#ifdef __AVX512F__
  return (V)_mm512_permutexvar_ps((__m512i)from, (__m512)x);
#elif defined(__AVX2__)
  return (V)_mm256_permutevar8x32_ps((__m256)x, (__m256i)from);
#else
  V y;
  for (int i = 0; i < WIDE; i++) y[i] = x[from[i] % WIDE];
  return y;
#endif
}

/* How many numbers lie before one with which a whole vector can begin. */
static inline Size before_whole(const float *x) { return (Size)(-(size_t)x / sizeof(float) % WIDE); }

/* Over the lanes by halves: one after the other would wait for each. */
#ifdef __clang__
static inline V swapped(V x, int half) {
  V y;
  for (int i = 0; i < WIDE; i++) y[i] = x[i ^ half];
  return y;
}
#else
#define swapped(x, half) __builtin_shuffle(x, (M){LANE} ^ (half))
#endif
#define BY_HALVES(WITH)                           \
  if (WIDE > 8) x = WITH(x, swapped(x, 8 % WIDE));       \
  if (WIDE > 4) x = WITH(x, swapped(x, 4 % WIDE)); \
  x = WITH(x, swapped(x, 2));                     \
  x = WITH(x, swapped(x, 1));

static inline float sum_of(V x) {
#define PLUS(x, y) ((x) + (y))
  BY_HALVES(PLUS)
  return x[0];
}

static inline float largest_of(V x) {
  BY_HALVES(larger_vector)
  return x[0];
}

/* Four sums over the lanes in one: what of two is added changes places meanwhile. Over halves first, as
   in sum_of, so that it is the same whichever lane comes first. */
static inline void sums_of_four(const V *x, float *to) {
  const M half = -(((M){LANE} / (WIDE / 2)) & 1), quarter = -(((M){LANE} / (WIDE / 4)) & 1);
#define EITHER(from, p, q) (V)(((M)(p) & ~(from)) | ((M)(q) & (from)))
  V near[2];
  for (int j = 0; j < 2; j++) {
    V p = x[2 * j], q = x[2 * j + 1], other = EITHER(half, q, p);
    near[j] = EITHER(half, p, q) + swapped(other, WIDE / 2);
  }
  V other = EITHER(quarter, near[1], near[0]), all = EITHER(quarter, near[0], near[1]);
  all += swapped(other, WIDE / 4);
  if (WIDE > 8) all += swapped(all, 2);
  if (WIDE > 4) all += swapped(all, 1);
  for (int j = 0; j < 4; j++) to[j] = all[j % 2 * (WIDE / 2) + j / 2 * (WIDE / 4)];
}

/* What BODY(I, KEPT) adds at column k to the sums and the maxima: I picks out a column's. */
#define ALL(x) (x)
#define REST(x) last_of(x, rest)
#define BEFORE(x) last_of(turned(x, some), some)
#define BEHIND(x) first_of(turned(x, WIDE - rest), rest)

/* Of each row: up to four sums and two maxima. Whole vectors begin where they lie whole in a line of
   the caches; what is left over at the ends is read in one more each, of which the rest doesn't count,
   and comes to the lanes it would have there: sums have the same bits wherever a row lies. */
#define PER_ROW(COUNT, TOPS, POINTERS, BODY, STORE)                \
  EACH_ROW {                                                       \
    POINTERS                                                       \
    double total[4] = {0};                                         \
    float most[2] = {0};                                           \
    if (COLUMNS >= WIDE) {                                         \
      typedef V T;                                                 \
      T top[2] = {(T){0} - INFINITY, (T){0} - INFINITY};           \
      for (Size k = 0; k < COLUMNS;) {                             \
        T sum[4] = {{0}};                                          \
        float sums[4];                                             \
        Size end = SMALLER(COLUMNS, k + WIDE * STRETCH);           \
        Size some = COLUMNS < LONG ? 0 : before_whole(row + k);    \
        if (some && k + WIDE <= end) {                             \
          BODY(, BEFORE)                                           \
          k += some;                                               \
        }                                                          \
        _Pragma("GCC unroll 2")                                    \
        for (; k + WIDE <= end; k += WIDE) { BODY(, ALL) }         \
        if (k < end) {                                             \
          Size rest = end - k;                                     \
          k = end - WIDE;                                          \
          BODY(, BEHIND)                                           \
          k = end;                                                 \
        }                                                          \
        if (COUNT == 1)                                            \
          sums[0] = sum_of(sum[0]);                                \
        else                                                       \
          sums_of_four(sum, sums);                                 \
        for (int j = 0; j < COUNT; j++) total[j] += sums[j];       \
      }                                                            \
      for (int j = 0; j < TOPS; j++) most[j] = largest_of(top[j]); \
    } else {                                                       \
      typedef float T;                                             \
      T sum[4] = {0}, top[2] = {-INFINITY, -INFINITY};             \
      for (Size k = 0; k < COLUMNS; k++) { BODY(, ALL) }           \
      for (int j = 0; j < 4; j++) total[j] = sum[j];               \
      for (int j = 0; j < 2; j++) most[j] = top[j];                \
    }                                                              \
    Size at = n * ROWS + r;                                        \
    STORE(total, most, )                                           \
  }

/* What follows at column k of COUNT rows r from row_0 on, or of those that are left. */
#define OF_ROWS(COUNT, WIDTH, POINTERS, ...)                        \
  if (row_0 + (COUNT) <= ROWS)                                      \
    EACH for (Size i = 0; i < (WIDTH); i++) {                       \
      Size k = start + i;                                           \
      for (int j = 0; j < (COUNT); j++) {                           \
        Size r = row_0 + j;                                         \
        POINTERS                                                    \
        __VA_ARGS__                                                 \
      }                                                             \
    }                                                               \
  for (Size r = row_0; row_0 + (COUNT) > ROWS && r < ROWS; r++) {   \
    POINTERS                                                        \
    EACH for (Size i = 0; i < (WIDTH); i++) {                       \
      Size k = start + i;                                           \
      __VA_ARGS__                                                   \
    }                                                               \
  }

/* Rows from row_0 on, in MANY times as many columns as T has lanes, from i on: sums and maxima stay in
   registers meanwhile. */
#define OVER_ROWS(MANY, COUNT, TOPS, POINTERS, BODY, KEPT)                            \
  {                                                                                   \
    T sum[COUNT][MANY], top[2][MANY];                                                 \
    for (int q = 0; q < MANY; q++) {                                                  \
      for (int j = 0; j < COUNT; j++) sum[j][q] = (T){0};                             \
      for (int j = 0; j < TOPS; j++) top[j][q] = AT(most[j] + i + q * LANES);         \
    }                                                                                 \
    for (Size r = row_0; r < row_1; r++) {                                            \
      POINTERS                                                                        \
      UNROLLED for (int q = 0; q < MANY; q++) {                                       \
        Size k = start + i + q * LANES;                                               \
        BODY([q], ALL)                                                                \
      }                                                                               \
    }                                                                                 \
    for (int q = 0; q < MANY; q++) {                                                  \
      for (int j = 0; j < COUNT; j++) ADD(total[j] + i + q * LANES, KEPT(sum[j][q])); \
      for (int j = 0; j < TOPS; j++) *(T *)(most[j] + i + q * LANES) = top[j][q];     \
    }                                                                                 \
    i += MANY * LANES;                                                                \
  }

/* As PER_ROW of each column, with COUNT sums. */
#define PER_COLUMN(COUNT, TOPS, POINTERS, BODY, STORE)                               \
  for (Size start = 0; start < COLUMNS; start += BLOCK) {                            \
    Size width = SMALLER(BLOCK, COLUMNS - start);                                    \
    double total[COUNT][BLOCK];                                                      \
    float most[2][BLOCK];                                                            \
    for (int j = 0; j < TOPS; j++)                                                   \
      for (Size i = 0; i < width; i++) most[j][i] = -INFINITY;                       \
    for (int j = 0; j < COUNT; j++)                                                  \
      for (Size i = 0; i < width; i++) total[j][i] = 0;                              \
    for (Size row_0 = 0, row_1; row_0 < ROWS; row_0 = row_1) {                       \
      row_1 = SMALLER(ROWS, row_0 + GROUP);                                          \
      Size i = 0;                                                                    \
      if (width >= WIDE) {                                                           \
        typedef V T;                                                                 \
        while (i + STRIPE(COUNT + TOPS) * WIDE <= width)                             \
          OVER_ROWS(STRIPE(COUNT + TOPS), COUNT, TOPS, POINTERS, BODY, ALL)          \
        while (i + 3 * WIDE <= width) OVER_ROWS(3, COUNT, TOPS, POINTERS, BODY, ALL) \
        while (i + WIDE <= width) OVER_ROWS(1, COUNT, TOPS, POINTERS, BODY, ALL)     \
        Size rest = width - i;                                                       \
        i = width - WIDE;                                                            \
        if (rest) OVER_ROWS(1, COUNT, TOPS, POINTERS, BODY, REST)                    \
      } else {                                                                       \
        typedef float T;                                                             \
        while (i < width) OVER_ROWS(1, COUNT, TOPS, POINTERS, BODY, ALL)             \
      }                                                                              \
    }                                                                                \
    for (Size i = 0; i < width; i++) {                                               \
      Size at = n * COLUMNS + start + i;                                             \
      STORE(total, most, [i])                                                        \
    }                                                                                \
  }

/* Of each channel of each image: mean, maximum, minimum; the last two unless null. */
void moments(Size first, Size last, Size C, Size P, In u, double *restrict mean, float *high,
             float *low) {
#define BODY(I, KEPT)                                \
  T x = AT(row + k);                                 \
  sum[0] I += KEPT(x);                               \
  top[0] I = LARGER_OF(x, top[0] I);                 \
  top[1] I = LARGER_OF(-x, top[1] I);
#define STORE(s, most, I)                            \
  mean[at] = s[0] I / P;                             \
  if (high) high[at] = most[0] I;                    \
  if (low) low[at] = -most[1] I;
  IMAGES {
    if (low) {
      PER_CHANNEL(1, 2, ROW_OF_U, BODY, STORE)
    } else {
      PER_CHANNEL(1, 1, ROW_OF_U, BODY, STORE)
    }
  }
#undef BODY
#undef STORE
}

/* Of each channel of each image: the sum of the squares of what lies off a number of the channel. */
void squares(Size first, Size last, Size C, Size P, In u, In middle, double *restrict sums) {
#define BODY(I, KEPT)                          \
  T off = AT(row + k) - OF_CHANNEL(middle);    \
  sum[0] I += KEPT(off * off);
#define STORE(s, most, I) sums[at] = s[0] I;
  IMAGES {
    PER_CHANNEL(1, 0, ROW_OF_U, BODY, STORE)
  }
#undef BODY
#undef STORE
}

#if !LAST
/* Mean and variance of each channel over all images, each in one sum from the first number to the
   last, as PyTorch has them: SIDE channels beside each other, since a sum waits for itself. Running
   statistics, if any, follow by a share. */
#define SIDE (WIDE / 2) /* doubles in a register */
typedef float Few __attribute__((vector_size(4 * SIDE)));
typedef double Sums __attribute__((vector_size(8 * SIDE)));
#define EACH_NUMBER(BODY)                                                       \
  for (Size n = 0; n < N; n++) {                                                \
    const float *row[SIDE];                                                     \
    for (int j = 0; j < SIDE; j++) row[j] = u + (n * C + SMALLER(c + j, last - 1)) * P; \
    for (Size k = 0; k < P; k++) {                                              \
      Few x;                                                                    \
      for (int j = 0; j < SIDE; j++) x[j] = row[j][k];                          \
      BODY                                                                      \
    }                                                                           \
  }
void statistics(Size first, Size last, Size N, Size C, Size P, double share, double rest, In u,
                Out mean, Out variance, float *running_mean, float *running_variance) {
  for (Size c = first; c < last; c += SIDE) {
    Sums sum = {0}, square = {0};
    Few middle;
    EACH_NUMBER(sum += __builtin_convertvector(x, Sums);)
    for (int j = 0; j < SIDE; j++) middle[j] = (float)(sum[j] / (N * P));
    EACH_NUMBER(x -= middle; x *= x; square += __builtin_convertvector(x, Sums);)
    for (Size j = 0; j < SMALLER(SIDE, last - c); j++) {
      float all = (float)square[j];
      mean[c + j] = middle[j], variance[c + j] = all / (N * P);
      if (!running_mean) continue;
      float old = (float)rest * running_mean[c + j], new = all / (N * P - 1);
      running_mean[c + j] = (float)share * middle[j] + old;
      old = (float)rest * running_variance[c + j];
      running_variance[c + j] = FMA((float)share, new, old); /* as PyTorch is compiled */
    }
  }
}
#endif

/* The functions of channels.py, for channels first to last of all N images; null is None. What a and
   b are is rounded as PyTorch does it, which gives them where nothing is of the batch. */
void affine(Size first, Size last, Size N, Size C, Size of_batch, double eps, Doubles means,
            Doubles mean, Doubles variance, In weight, In bias, double *restrict inverse, Out a, Out b,
            Out middle, Out x_means) {
  for (Size c = first; c < last; c++) inverse[c] = 1 / sqrt(variance[c] + eps);
  for (Size c = first; c < last; c++) {
    middle[c] = (float)mean[c];
    if (!of_batch) continue;
    a[c] = (float)inverse[c] * (weight ? weight[c] : 1);
    b[c] = FMA(-middle[c], a[c], bias ? bias[c] : 0);
  }
  for (Size n = 0; n < N; n++)
    for (Size c = first; c < last; c++) {
      double slope = (weight ? weight[c] : 1) * inverse[c], off = means[n * C + c] - mean[c];
      x_means[n * C + c] = (float)(off * slope + (bias ? bias[c] : 0));
    }
}

void of_gate(Size first, Size last, Size N, Size C, Doubles mean, In a, In middle, In bias,
             In sums, Out products, Out of_gates) {
  for (Size n = 0; n < N; n++)
    for (Size c = first; c < last; c++) {
      Size at = n * C + c;
      double product = products[at] + (middle[c] - mean[c]) * sums[at];
      products[at] = (float)product;
      of_gates[at] = (float)(a[c] * product + (bias ? bias[c] : 0) * sums[at]);
    }
}

void of_norm(Size first, Size last, Size N, Size C, Size P, Size of_batch, Doubles means,
             Doubles mean, Doubles inverse, In g, In sums, In products, In of_means, In of_tops,
             In count, In tops, double *restrict total, double *restrict off_total, Out even,
             Out share, Out taken, Out off_taken, Out of_weight, Out of_bias) {
  for (Size c = first; c < last; c++) total[c] = off_total[c] = 0;
  for (Size n = 0; n < N; n++)
    for (Size c = first; c < last; c++) {
      Size at = n * C + c;
      even[at] = of_means[at] / P, share[at] = of_tops ? of_tops[at] / count[at] : 0;
      if (!mean) continue;
      total[c] += (double)g[at] * sums[at] + of_means[at] + (of_tops ? of_tops[at] : 0);
      off_total[c] += (double)g[at] * products[at] + of_means[at] * (means[at] - mean[c]) +
                      (of_tops ? (double)share[at] * tops[at] : 0);
    }
  for (Size c = first; c < last; c++) {
    double each = 1.0 / N / P, width = mean ? inverse[c] : 0; /* no infinity times 0 below */
    taken[c] = of_batch ? (float)(total[c] * each) : 0;
    off_taken[c] = of_batch ? (float)(off_total[c] * each * width * width) : 0;
    of_weight[c] = (float)(off_total[c] * width), of_bias[c] = (float)total[c];
  }
}

/* The maximum of x in each channel of each image, from the extremes of u; P is of no use. */
void tops(Size first, Size last, Size C, Size P, In a, In b, In high, In low, Out top) {
  (void)P;
  IMAGES for (Size c = 0; c < C; c++) {
    Size at = n * C + c;
    top[at] = FMA(a[c] >= 0 ? high[at] : low[at], a[c], b[c]);
  }
}

/* Of each place: the mean and the maximum of z over the channels. */
void place_pools(Size first, Size last, Size C, Size P, In u, In a, In b, In g, Out means,
                 Out highest) {
#define X T x = FUSED(AT(row + k), OF_CHANNEL(a), OF_CHANNEL(b));
#define Z X T z = x * OF_CHANNEL(gate);
#define BODY(I, KEPT) Z sum[0] I += KEPT(z); top[0] I = LARGER_OF(z, top[0] I);
#define STORE(s, most, I) means[at] = (float)(s[0] I / C), highest[at] = most[0] I;
  IMAGES {
    const float *gate = g + n * C;
    PER_PLACE(1, 1, ROW_OF_U, BODY, STORE)
  }
#undef BODY
#undef STORE
}

/* A processor foresees what will be read, and hardly what will be written: it is told where rows end,
   in a page that it may not know. Behind the last row nothing is there to be fetched, and no harm. */
static inline void foretell(const float *row, Size rows, Size count) {
  for (Size j = 1; j <= rows; j++) __builtin_prefetch(row + j * count - 1, 1);
}

/* Of a row of y that is short and ends within a line of the caches, where a vector fills one: what OF_K
   is at column k. Lines are written whole; what is over at either end is in one more vector each,
   which is read before any is written, since y may be u. */
#define IS_SHORT (!LAST && WIDE == 16 && COLUMNS >= WIDE && COLUMNS <= SHORT && COLUMNS % WIDE)
#define SHORT_ROW(OF_K)                                                       \
  {                                                                           \
    typedef V T;                                                              \
    const Size ends[] = {0, COLUMNS - WIDE};                                  \
    T over[2];                                                                \
    for (int j = 0; j < 2; j++) {                                             \
      Size k = ends[j];                                                       \
      Z over[j] = OF_K;                                                       \
    }                                                                         \
    for (Size k = before_whole(to); k + WIDE <= COLUMNS; k += WIDE) {         \
      __builtin_prefetch(to + k + AHEAD, 1);                                  \
      Z *(T *)(to + k) = OF_K;                                                \
    }                                                                         \
    for (int j = 0; j < 2; j++) *(T *)(to + ends[j]) = over[j];               \
  }

/* y = z, times a gate s per place if there is one. */
void gated(Size first, Size last, Size C, Size P, const float *u, In a, In b, In g, In s, float *y) {
  IMAGES EACH_ROW {
    ROW_OF_U
    typedef float T;
    const float *gate = g + n * C, *sn = s ? s + n * P : s;
    float *to = ROW(y);
    if (IS_SHORT) {
      if (s)
        SHORT_ROW(z * OF_PLACE(sn))
      else
        SHORT_ROW(z)
      continue;
    }
    foretell(to, 1, COLUMNS);
    for (Size k = 0; COLUMNS <= AHEAD && k < COLUMNS; k += 16) __builtin_prefetch(to + k + AHEAD, 1);
    if (s)
      EACH for (Size k = 0; k < COLUMNS; k++) { Z to[k] = z * OF_PLACE(sn); }
    else
      EACH for (Size k = 0; k < COLUMNS; k++) { Z to[k] = z; }
  }
}

/* Of each place: the sum of d z, and how many channels have the maximum. */
void place_sums(Size first, Size last, Size C, Size P, In u, In d, In a, In b, In g, In highest,
                Out sums, Out count) {
#define BODY(I, KEPT)                          \
  Z sum[0] I += KEPT(AT(grad + k) * z);        \
  sum[1] I += KEPT(WHERE_SAME(z, OF_PLACE(high), EVERY(1)));
#define STORE(s, most, I) sums[at] = (float)s[0] I, count[at] = (float)s[1] I;
  IMAGES {
    const float *gate = g + n * C, *high = highest + n * P;
    PER_PLACE(2, 0, ROWS_OF_U_AND_D, BODY, STORE)
  }
#undef BODY
#undef STORE
}

/* The gradient for z at a place: d, or d s + even + [z = highest] share. */
#define OF_Z                                                             \
  T of_z = AT(grad + k) * OF_PLACE(sn) + OF_PLACE(even_n);               \
  of_z += WHERE_SAME(z, OF_PLACE(high), OF_PLACE(share_n));

/* Of each channel: sums of the gradient for z, of it times u - mean, and, with gates of places, the
   number of the maxima of x and the sum of u - mean there. */
void channel_sums(Size first, Size last, Size C, Size P, In u, In d, In a, In b, In mean, In g,
                  In s, In even, In highest, In share, In top_of_x, Out sums, Out products,
                  Out count, Out tops) {
  IMAGES {
    if (!s) {
#define BODY(I, KEPT)                                                   \
  T dx = AT(grad + k);                                                  \
  sum[0] I += KEPT(dx);                                                 \
  sum[1] I += KEPT(dx * (AT(row + k) - OF_CHANNEL(mean)));
#define STORE(s, most, I) sums[at] = (float)s[0] I, products[at] = (float)s[1] I;
      PER_CHANNEL(2, 0, ROWS_OF_U_AND_D, BODY, STORE)
#undef BODY
#undef STORE
      continue;
    }
    const float *gate = g + n * C, *sn = s + n * P, *even_n = even + n * P, *peak = top_of_x + n * C;
    const float *high = highest + n * P, *share_n = share + n * P;
#define BODY(I, KEPT)                                                   \
  Z OF_Z T off = AT(row + k) - OF_CHANNEL(mean);                        \
  sum[0] I += KEPT(of_z);                                               \
  sum[1] I += KEPT(of_z * off);                                         \
  sum[2] I += KEPT(WHERE_SAME(x, OF_CHANNEL(peak), EVERY(1)));          \
  sum[3] I += KEPT(WHERE_SAME(x, OF_CHANNEL(peak), off));
#define STORE(s, most, I)                                               \
  sums[at] = (float)s[0] I, products[at] = (float)s[1] I;               \
  count[at] = (float)s[2] I, tops[at] = (float)s[3] I;
    PER_CHANNEL(4, 0, ROWS_OF_U_AND_D, BODY, STORE)
#undef BODY
#undef STORE
  }
}

/* The gradient for u: a (dx - first_ - (u - mean) second), with
   dx = g of_z + even_c + [x = top] share_c. */
void map_gradient(Size first, Size last, Size C, Size P, In u, In d, In a, In b, In mean, In g,
                  In s, In even, In highest, In share, In top_of_x, In even_c, In share_c,
                  In first_, In second, Out du) {
  typedef float T;
  const Size start = 0;
#define TO_U ROWS_OF_U_AND_D float *to = ROW(du);
#define FROM(of_z, more)                                                                 \
  T dx = (of_z) * OF_CHANNEL(gate) + OF_CHANNEL(even_cn) + (more);                       \
  to[k] = (dx - OF_CHANNEL(first_) - (row[k] - OF_CHANNEL(mean)) * OF_CHANNEL(second)) * \
          OF_CHANNEL(a);
  IMAGES {
    Size places = s ? n * P : 0; /* null without gates of them, as what follows */
    const float *sn = s + places, *even_n = even + places, *high = highest + places;
    const float *share_n = share + places, *gate = g + n * C, *peak = top_of_x + n * C;
    const float *even_cn = even_c + n * C, *share_cn = share_c + n * C;
    for (Size row_0 = 0; row_0 < ROWS; row_0 += BESIDE) {
      foretell(du + (n * ROWS + row_0) * COLUMNS, BESIDE, COLUMNS);
      if (s) {
        OF_ROWS(BESIDE, COLUMNS, TO_U,
                Z OF_Z FROM(of_z, WHERE_SAME(x, OF_CHANNEL(peak), OF_CHANNEL(share_cn))))
      } else {
        OF_ROWS(BESIDE, COLUMNS, TO_U, FROM(grad[k], 0))
      }
    }
  }
}

/* Numbers of a plane with zeros around, and of one of its rows; behind the last, WIDE more can be read. */
#define AROUND ((H + K - 1) * ALONG)
#define ALONG (W + K - 1)

/* An image of J planes by a kernel whose taps lie `step` apart. */
static inline void convolved(Size n, Size N, Size J, Size H, Size W, Size K, In wide, In w, Size step,
                             Out y) {
  typedef V T;
  for (Size r = 0; r < H; r++)
    for (Size start = 0; start < W; start += WIDE) {
      Size tap = 0;
      T sum = {0};
      for (Size j = 0; j < J; j++) {
        In under = wide + (j * N + n) * AROUND + r * ALONG + start;
        for (Size down = 0; down < K; down++)
          for (Size right = 0; right < K; right++, tap += step)
            sum += w[tap] * AT(under + down * ALONG + right);
      }
      for (Size i = 0; i < SMALLER(WIDE, W - start); i++) y[(n * H + r) * W + start + i] = sum[i];
    }
}

void convolve(Size first, Size last, Size N, Size J, Size H, Size W, Size K, In wide, In w, Out y) {
  IMAGES convolved(n, N, J, H, W, K, wide, w, 1, y);
}

/* The gradients for planes, and of each image for the kernel; d has zeros around, too. */
void of_convolve(Size first, Size last, Size N, Size J, Size H, Size W, Size K, In wide, In w,
                 In wide_d, Out of_planes, Out of_kernel) {
  typedef V T;
  Size taps = J * K * K;
  IMAGES {
    In d = wide_d + n * AROUND + K / 2 * ALONG + K / 2;
    for (Size j = 0; j < J; j++)
      convolved(n, N, 1, H, W, K, wide_d, w + (j + 1) * K * K - 1, -1, of_planes + j * N * H * W);
    for (Size tap = 0; tap < taps; tap += 4) {
      T sum[4] = {{0}};
      float sums[4];
      const float *under[4];
      for (int q = 0; q < 4; q++) {
        Size t = SMALLER(tap + q, taps - 1), of_plane = t % (K * K);
        under[q] = wide + (t / (K * K) * N + n) * AROUND + of_plane / K * ALONG + of_plane % K;
      }
      for (Size r = 0; r < H; r++)
        for (Size start = 0; start < W; start += WIDE) {
          T dy = first_of(AT(d + r * ALONG + start), W - start);
          for (int q = 0; q < 4; q++) sum[q] += dy * AT(under[q] + r * ALONG + start);
        }
      sums_of_four(sum, sums);
      for (Size q = 0; q < SMALLER(4, taps - tap); q++) of_kernel[n * taps + tap + q] = sums[q];
    }
  }
}

/* 1 / (1 + exp(-x)): exp by 2^k times a polynomial (that of Cephes' expf), since the library's isn't
   called in vectors. Added to 1.5 2^23, k is rounded and stands in the last bits. */
static void sigmoids(Size count, float *restrict x, float scale, float offset) {
  union { float value; unsigned bits; } base = {12582912.0f};
  EACH for (Size i = 0; i < count; i++) {
    float to = -x[i]; /* what is no number stays it */
    to = to < -87.0f ? -87.0f : to;
    to = to > 89.0f ? 89.0f : to; /* whose power is infinity */
    union { float value; unsigned bits; } k = {to * 1.44269504f + base.value}, two;
    float whole = k.value - base.value;
    float r = (to - whole * 0.693359375f) + whole * 2.12194440e-4f, p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f, p = p * r + 8.3334519073e-3f, p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f, p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1;
    two.bits = (k.bits - base.bits + 127) << 23;
    x[i] = scale / (1 + p * two.value) + offset;
  }
}

/* The products of rows with so many inputs, a constant; four rows at a time. */
static inline __attribute__((always_inline)) void products(In rows, Size count, Size width, int inputs,
                                                           const float *const *x, float *const *to) {
  typedef V T;
  Size r = 0, whole = width / WIDE * WIDE;
  for (; r + 4 <= count; r += 4) {
    In row = rows + r * width;
    T sum[SHARED][4] = {{{0}}};
    for (Size i = 0; i < whole; i += WIDE) {
      T w[4];
      UNROLLED for (int j = 0; j < 4; j++) w[j] = once(AT(row + j * width + i));
      UNROLLED for (int q = 0; q < inputs; q++) {
        T given = once(AT(x[q] + i));
        UNROLLED for (int j = 0; j < 4; j++) sum[q][j] = FUSED(w[j], given, sum[q][j]);
      }
    }
    UNROLLED for (int q = 0; q < inputs; q++) {
      sums_of_four(sum[q], to[q] + r);
      for (Size i = whole; i < width; i++)
        for (int j = 0; j < 4; j++) to[q][r + j] += row[j * width + i] * x[q][i];
    }
  }
  for (; r < count; r++)
    for (int q = 0; q < inputs; q++) {
      float sum = 0;
      for (Size i = 0; i < width; i++) sum += rows[r * width + i] * x[q][i];
      to[q][r] = sum;
    }
}

static void products_of(In rows, Size count, Size width, Size inputs, const float *const *x,
                        float *const *to) {
  if (inputs == 4)
    products(rows, count, width, 4, x, to);
  else if (inputs == 2)
    products(rows, count, width, 2, x, to);
  else
    products(rows, count, width, 1, x, to);
}

/* How many of the images that are left share what is read of the weights. */
static inline Size sharing(Size left, Size at_most) {
  return left >= at_most ? at_most : left >= 2 ? 2 : 1;
}

/* The gates of images from the means of their channels, or from means and maxima: two layers, a ReLU
   between them. Kept are the hidden units; of two inputs, their sum. A few rows of weights at a time
   stay in the first caches for all images. */
static void perceptron(Size first, Size last, Size C, Size R, In mean, const float *most, In w1, In b1,
                       In w2, In b2, Out hidden, Out gate, double scale, double offset) {
  const float *x[SHARED];
  float *to[SHARED], of_top[SHARED / 2][UNITS];
  for (Size from = 0; from < R; from += UNITS)
    for (Size n = first, some; n < last; n += some) {
      Size count = SMALLER(UNITS, R - from);
      some = sharing(last - n, most ? SHARED / 2 : SHARED);
      for (Size q = 0; q < some; q++) {
        x[q] = mean + (n + q) * C, to[q] = hidden + (n + q) * R + from;
        if (most) x[some + q] = most + (n + q) * C, to[some + q] = of_top[q];
      }
      products_of(w1 + from * C, count, C, most ? 2 * some : some, x, to);
      for (Size q = 0; q < some; q++)
        for (Size r = 0; r < count; r++) {
          float bias = b1 ? b1[from + r] : 0, of_mean = to[q][r] + bias;
          float of_most = most ? of_top[q][r] + bias : 0;
          to[q][r] = (of_mean < 0 ? 0 : of_mean) + (of_most < 0 ? 0 : of_most);
        }
    }
  for (Size from = 0; from < C; from += LOGITS)
    for (Size n = first, some; n < last; n += some) {
      Size count = SMALLER(LOGITS, C - from);
      some = sharing(last - n, SHARED);
      for (Size q = 0; q < some; q++) x[q] = hidden + (n + q) * R, to[q] = gate + (n + q) * C + from;
      products_of(w2 + from * R, count, R, some, x, to);
      for (Size q = 0; q < some; q++) {
        for (Size c = 0; b2 && c < count; c++) to[q][c] += (most ? 2 : 1) * b2[from + c];
        sigmoids(count, to[q], (float)scale, (float)offset);
      }
    }
}

/* The sum of rows, each times its factor; several at a time. */
static void sum_of_rows(Size count, Size width, In factors, In rows, Out sum) {
  for (Size k = 0; k < width; k++) sum[k] = 0;
  Size r = 0;
  for (; r + 8 <= count; r += 8) {
    const float *row = rows + r * width, *f = factors + r;
    EACH for (Size k = 0; k < width; k++) {
      float more = 0;
      for (int j = 0; j < 8; j++) more += f[j] * row[j * width + k];
      sum[k] += more;
    }
  }
  for (; r < count; r++)
    EACH for (Size k = 0; k < width; k++) sum[k] += factors[r] * rows[r * width + k];
}

/* A few images go through all passes together: they share the weights, and are in the caches still. */
#define TOGETHER (1 << 19) /* numbers of them */
#define IN_GROUPS                                 \
  for (Size from = first, to; from < last; from = to) \
    if ((to = SMALLER(last, from + LARGER(1, TOGETHER / (C * P)))))

/* SE. */
void se(Size first, Size last, Size N, Size C, Size P, Size R, double scale, double offset, In u,
        In ones, In zeros, In w1, In b1, In w2, In b2, double *restrict means, Out mean, Out hidden,
        Out sigmoid, Out gate, Out y) {
  (void)N;
  IN_GROUPS {
    moments(from, to, C, P, u, means, NULL, NULL);
    for (Size at = from * C; at < to * C; at++) mean[at] = (float)means[at];
    perceptron(from, to, C, R, mean, NULL, w1, b1, w2, b2, hidden, sigmoid, 1, 0);
    for (Size at = from * C; at < to * C; at++)
      gate[at] = (float)scale * sigmoid[at] + (float)offset;
    gated(from, to, C, P, u, ones, zeros, gate, NULL, y);
  }
}

/* The gradients for u of an SE that reads u, for its logits and for its hidden units. */
void of_se(Size first, Size last, Size N, Size C, Size P, Size R, double scale, double offset, In u,
           In d, In ones, In zeros, In w1, In w2, In hidden, In sigmoid, Out gate, Out sums,
           Out of_logits, Out of_hidden, Out even, Out du) {
  (void)N;
  IMAGES {
    In s = sigmoid + n * C;
    Out logit = of_logits + n * C, unit = of_hidden + n * R, each = even + n * C;
    for (Size c = 0; c < C; c++) gate[n * C + c] = (float)scale * s[c] + (float)offset;
    channel_sums(n, n + 1, C, P, u, d, ones, zeros, zeros, gate, NULL, NULL, NULL, NULL, NULL, sums,
                 of_logits, NULL, NULL);
    for (Size c = 0; c < C; c++) logit[c] *= (float)scale * s[c] * (1 - s[c]);
    sum_of_rows(C, R, logit, w2, unit);
    for (Size r = 0; r < R; r++) unit[r] = hidden[n * R + r] <= 0 ? 0 : unit[r];
    sum_of_rows(R, C, unit, w1, each);
    for (Size c = 0; c < C; c++) each[c] /= P;
    if (du) /* where u counts for nothing */
      map_gradient(n, n + 1, C, P, d, d, ones, zeros, zeros, gate, NULL, NULL, NULL, NULL, ones,
                   even, even, zeros, zeros, du);
  }
}

/* CBAM where nothing is learnt. The norm of the places is weight (y - mean) / sqrt(variance + eps) +
   bias. Room is for 6 C + R + 3 P numbers an image, two planes of each with zeros around, and WIDE
   more; `max_first` is the order in which the kernel takes the planes. */
void cbam(Size first, Size last, Size N, Size C, Size H, Size W, Size R, Size K, Size max_first,
          double eps, double scale, double offset, double scale_of_places, double offset_of_places,
          const float *u, In a, In b, In w1, In w2, In b1, In b2, In kernel, In weight, In bias,
          In mean, In variance, double *restrict room, float *y) {
  Size P = H * W;
  double *means = room;
  float *high = (float *)(room + N * C), *low = high + N * C, *top = low + N * C, *g = top + N * C;
  float *h = g + N * C, *planes = h + N * R, *s = planes + 2 * N * P, *wide = s + N * P;
  double slope = *weight / sqrt(*variance + eps), shift = *bias - *mean * slope;
  int falls = 0; /* somewhere x with u, where a is negative */
  for (Size c = 0; c < C; c++) falls |= !(a[c] >= 0);
  IN_GROUPS {
    moments(from, to, C, P, u, means, high, falls ? low : NULL);
    tops(from, to, C, P, a, b, high, falls ? low : high, top);
    for (Size n = from; n < to; n++)
      for (Size c = 0; c < C; c++) high[n * C + c] = (float)(means[n * C + c] * a[c] + b[c]);
    perceptron(from, to, C, R, high, top, w1, b1, w2, b2, h, g, scale, offset);
    for (Size n = from; n < to; n++) {
      float *place = s + n * P;
      place_pools(n, n + 1, C, P, u, a, b, g, planes, planes + N * P);
      for (Size j = 0; j < 2; j++) {
        const float *from_plane = planes + ((j ^ max_first) * N + n) * P;
        float *plane = wide + (j * N + n) * AROUND;
        for (Size k = 0; k < AROUND; k++) plane[k] = 0;
        for (Size r = 0; r < H; r++)
          for (Size k = 0; k < W; k++) plane[(r + K / 2) * ALONG + K / 2 + k] = from_plane[r * W + k];
      }
      convolved(n, N, 2, H, W, K, wide, kernel, 1, s);
      for (Size k = 0; k < P; k++) place[k] = (float)(place[k] * slope + shift);
      sigmoids(P, place, (float)scale_of_places, (float)offset_of_places);
      gated(n, n + 1, C, P, u, a, b, g, s, y);
    }
  }
}
