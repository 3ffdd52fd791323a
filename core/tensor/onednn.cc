#include "core/tensor/onednn.h"

#include <array>
#include <exception>
#include <optional>
#include <utility>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "oneapi/dnnl/dnnl.hpp"

// Of libgomp, which oneDNN runs on. Declared here because clang does not find gcc's omp.h.
extern "C" void omp_set_num_threads(int count);

namespace attnd::onednn {
namespace {

using dnnl::memory;
using Dims = memory::dims;

const dnnl::engine& Cpu() {
  // The CPU engine is a handle without state of its own; one serves all threads.
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& ThreadStream() {
  thread_local dnnl::stream stream(Cpu());
  return stream;
}

memory::desc Dense2(int64_t rows, int64_t columns,
                    memory::data_type type = memory::data_type::f32) {
  return memory::desc({rows, columns}, type, Dims{columns, 1});
}

memory::desc Strided(const View3& view) {
  return memory::desc(Dims(view.shape.begin(), view.shape.end()), memory::data_type::f32,
                      Dims(view.strides.begin(), view.strides.end()));
}

struct Function {
  dnnl::algorithm algorithm;
  float alpha = 0.f;
};

Function FunctionOf(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::kGeluErf:
      return {dnnl::algorithm::eltwise_gelu_erf};
    case Epilogue::kGeluTanh:
      return {dnnl::algorithm::eltwise_gelu_tanh};
    case Epilogue::kRelu:
      return {dnnl::algorithm::eltwise_relu};
    case Epilogue::kSilu:  // x / (1 + e^(-alpha x))
      return {dnnl::algorithm::eltwise_swish, 1.f};
    case Epilogue::kTanh:
      return {dnnl::algorithm::eltwise_tanh};
    case Epilogue::kNone:
    case Epilogue::kAddToOutput:
      break;
  }
  CHECK_THAT(false);
}

void AppendEltwise(dnnl::post_ops& ops, const Function& function) {
#if DNNL_VERSION_MAJOR >= 3
  ops.append_eltwise(function.algorithm, function.alpha, 0.f);
#else
  ops.append_eltwise(1.f, function.algorithm, function.alpha, 0.f);
#endif
}

dnnl::primitive_attr Attributes(Epilogue epilogue) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (epilogue == Epilogue::kNone) return attributes;
  dnnl::post_ops ops;
  if (epilogue == Epilogue::kAddToOutput) {
    ops.append_sum(1.f);
  } else {
    AppendEltwise(ops, FunctionOf(epilogue));
  }
  attributes.set_post_ops(ops);
  return attributes;
}

// Runs `make`: a missing kernel is an answer, not an exception.
template <typename Make>
auto Try(std::string_view what, Make make) -> absl::StatusOr<decltype(make())> {
  try {
    return make();
  } catch (const std::exception& error) {
    return absl::UnimplementedError(StrCat("oneDNN has no ", what, ": ", error.what()));
  }
}

// Executes with plain C arguments, the first `count` of them: no map to build.
template <size_t N>
void Execute(const dnnl::primitive& primitive, const std::array<dnnl_exec_arg_t, N>& arguments,
             int count = static_cast<int>(N)) {
  const dnnl_status_t status =
      dnnl_primitive_execute(primitive.get(), ThreadStream().get(), count, arguments.data());
  CHECK_THAT(status == dnnl_success);
}

memory At(const memory::desc& desc, const void* data) {
  return memory(desc, Cpu(), const_cast<void*>(data));
}

// What every primitive has.
struct Base {
  dnnl::primitive primitive;
  memory::desc scratchpad;
  std::string name;
};

template <typename PrimitiveDesc, typename Primitive>
Base MakeBase(const PrimitiveDesc& pd, Primitive primitive) {
  return {std::move(primitive), pd.scratchpad_desc(), pd.impl_info_str()};
}

// Each name of the AVX-512 line contains all bits of those before it.
bool Has(dnnl::cpu_isa isa) {
  const auto mask = static_cast<unsigned>(isa);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & mask) == mask;
}

}  // namespace

std::string Version() {
  return StrCat(dnnl_version()->major, ".", dnnl_version()->minor, ".", dnnl_version()->patch);
}

std::string Isa() {
  using enum dnnl::cpu_isa;
  static constexpr std::pair<dnnl::cpu_isa, std::string_view> kNames[] = {
      {avx2, "avx2"},
      {avx2_vnni, "avx2_vnni"},
      {avx512_core, "avx512_core"},
      {avx512_core_vnni, "avx512_core_vnni"},
      {avx512_core_bf16, "avx512_core_bf16"},
      {avx512_core_amx, "avx512_core_amx"}};
  const dnnl::cpu_isa isa = dnnl::get_effective_cpu_isa();
  for (const auto& [value, name] : kNames) {
    if (value == isa) return std::string(name);
  }
#if DNNL_VERSION_MAJOR >= 3
  if (isa == avx512_core_fp16) return "avx512_core_fp16";
#endif
  // A later one; kernels are probed by their properties, so its name is all that is missing.
  return StrCat("isa_0x", absl::Hex(static_cast<unsigned>(isa)));
}

bool HasAvx512() { return Has(dnnl::cpu_isa::avx512_core); }
bool HasBf16() { return Has(dnnl::cpu_isa::avx512_core_bf16); }
void UseOneThread() { omp_set_num_threads(1); }

struct WeightsLayout::Impl {
  memory::desc desc;
};

WeightsLayout::WeightsLayout() : impl_(std::make_unique<Impl>()) {}
WeightsLayout::WeightsLayout(const WeightsLayout& other)
    : impl_(std::make_unique<Impl>(*other.impl_)) {}
WeightsLayout& WeightsLayout::operator=(const WeightsLayout& other) {
  *impl_ = *other.impl_;
  return *this;
}
WeightsLayout::~WeightsLayout() = default;
bool WeightsLayout::operator==(const WeightsLayout& other) const {
  return impl_->desc == other.impl_->desc;
}
size_t WeightsLayout::bytes() const { return impl_->desc.get_size(); }

struct Dense::Impl : Base {
  memory::desc x, y;
  std::optional<memory::desc> bias;
  memory::desc plain_weights;  // What Pack takes: [out, in], in the primitive's rank and order.
  WeightsLayout layout;
};

namespace {

struct Types {
  memory::data_type x, weights, given;  // The last is what Pack takes.
};
Types TypesOf(Operands operands) {
  using Type = memory::data_type;
  if (operands == Operands::kU8S8) return {Type::u8, Type::s8, Type::s8};
  if (operands == Operands::kBf16) return {Type::bf16, Type::bf16, Type::f32};
  return {Type::f32, Type::f32, Type::f32};
}

bool HasBias(Operands operands) { return operands != Operands::kU8S8; }

// A matmul sees x [rows, in] times W^T [in, out]. A bias of no dimensions is none.
struct MatmulShape {
  memory::desc x, plain, any, bias, y;
  explicit MatmulShape(const Dense::Spec& spec, const Types& types)
      : x(Dense2(spec.rows, spec.in, types.x)),
        plain({spec.in, spec.out}, types.given, Dims{1, spec.in}),
        any({spec.in, spec.out}, types.weights, memory::format_tag::any),
        y(Dense2(spec.rows, spec.out)) {
    if (HasBias(spec.operands)) bias = Dense2(1, spec.out);
  }
};

// A 1x1 convolution sees the rows as the width of one image, channels last.
struct ConvolutionShape {
  memory::desc x, plain, any, bias, y;
  explicit ConvolutionShape(const Dense::Spec& spec, const Types& types)
      : x({1, spec.in, spec.rows}, types.x, memory::format_tag::nwc),
        plain({spec.out, spec.in, 1}, types.given, memory::format_tag::oiw),
        any({spec.out, spec.in, 1}, types.weights, memory::format_tag::any),
        y({1, spec.out, spec.rows}, memory::data_type::f32, memory::format_tag::nwc) {
    if (HasBias(spec.operands)) {
      bias = {{spec.out}, memory::data_type::f32, memory::format_tag::x};
    }
  }
};

dnnl::matmul::primitive_desc DenseDesc(const MatmulShape& shape, const memory::desc& weights,
                                       const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl::matmul::primitive_desc(Cpu(), shape.x, weights, shape.bias, shape.y, attributes);
#else
  return dnnl::matmul::primitive_desc(dnnl::matmul::desc(shape.x, weights, shape.bias, shape.y),
                                      attributes, Cpu());
#endif
}

dnnl::convolution_forward::primitive_desc DenseDesc(const ConvolutionShape& shape,
                                                    const memory::desc& weights,
                                                    const dnnl::primitive_attr& attributes) {
  constexpr auto kInference = dnnl::prop_kind::forward_inference;
  constexpr auto kDirect = dnnl::algorithm::convolution_direct;
  const Dims one{1}, none{0};
#if DNNL_VERSION_MAJOR >= 3
  return dnnl::convolution_forward::primitive_desc(Cpu(), kInference, kDirect, shape.x, weights,
                                                   shape.bias, shape.y, one, none, none,
                                                   attributes);
#else
  return dnnl::convolution_forward::primitive_desc(
      dnnl::convolution_forward::desc(kInference, kDirect, shape.x, weights, shape.bias, shape.y,
                                      one, none, none),
      attributes, Cpu());
#endif
}

}  // namespace

absl::StatusOr<Dense> Dense::Make(const Spec& spec) {
  const Types types = TypesOf(spec.operands);
  // What is added or applied to sums of integers would have to be scaled first.
  CHECK_THAT(HasBias(spec.operands) || spec.epilogue == Epilogue::kNone);
  const auto make = [&]<typename Primitive>(const auto& shape) {
    const memory::desc& weights = spec.layout ? spec.layout->impl_->desc : shape.any;
    const auto pd = DenseDesc(shape, weights, Attributes(spec.epilogue));
    auto impl = std::make_unique<Impl>();
    static_cast<Base&>(*impl) = MakeBase(pd, Primitive(pd));
    impl->x = shape.x;
    if (HasBias(spec.operands)) impl->bias = shape.bias;
    impl->y = shape.y;
    impl->plain_weights = shape.plain;
    impl->layout.impl_->desc = pd.weights_desc();
    return Dense(std::move(impl));
  };
  return Try("dense kernel", [&] {
    return spec.kind == DenseKind::kMatmul
               ? make.template operator()<dnnl::matmul>(MatmulShape(spec, types))
               : make.template operator()<dnnl::convolution_forward>(ConvolutionShape(spec, types));
  });
}

Dense::Dense(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Dense::Dense(Dense&&) noexcept = default;
Dense& Dense::operator=(Dense&&) noexcept = default;
Dense::~Dense() = default;
const WeightsLayout& Dense::layout() const { return impl_->layout; }
std::string_view Dense::implementation() const { return impl_->name; }
size_t Dense::scratchpad_bytes() const { return impl_->scratchpad.get_size(); }

void Dense::Pack(const void* weights, void* packed) const {
  memory from = At(impl_->plain_weights, weights);
  memory to = At(impl_->layout.impl_->desc, packed);
  dnnl::reorder(from, to).execute(ThreadStream(), from, to);
}

void Dense::Run(const void* x, const void* packed, const float* bias, void* scratchpad,
                float* y) const {
  const memory src = At(impl_->x, x), weights = At(impl_->layout.impl_->desc, packed),
               scratch = At(impl_->scratchpad, scratchpad), dst = At(impl_->y, y),
               offset = impl_->bias ? At(*impl_->bias, bias) : memory();
  Execute<5>(impl_->primitive,
             {{{DNNL_ARG_SRC, src.get()},
               {DNNL_ARG_WEIGHTS, weights.get()},
               {DNNL_ARG_DST, dst.get()},
               {DNNL_ARG_SCRATCHPAD, scratch.get()},
               {DNNL_ARG_BIAS, offset.get(/*allow_empty=*/true)}}},
             impl_->bias ? 5 : 4);
}

struct Matmul::Impl : Base {
  memory::desc a, b, c;
};

absl::StatusOr<Matmul> Matmul::Make(const View3& a, const View3& b, const View3& c) {
  return Try("matmul", [&] {
    auto impl = std::make_unique<Impl>();
    impl->a = Strided(a);
    impl->b = Strided(b);
    impl->c = Strided(c);
    const dnnl::primitive_attr attributes = Attributes(Epilogue::kNone);
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::matmul::primitive_desc pd(Cpu(), impl->a, impl->b, impl->c, attributes);
#else
    const dnnl::matmul::primitive_desc pd(dnnl::matmul::desc(impl->a, impl->b, impl->c),
                                          attributes, Cpu());
#endif
    static_cast<Base&>(*impl) = MakeBase(pd, dnnl::matmul(pd));
    return Matmul(std::move(impl));
  });
}

Matmul::Matmul(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Matmul::Matmul(Matmul&&) noexcept = default;
Matmul& Matmul::operator=(Matmul&&) noexcept = default;
Matmul::~Matmul() = default;
std::string_view Matmul::implementation() const { return impl_->name; }
size_t Matmul::scratchpad_bytes() const { return impl_->scratchpad.get_size(); }

void Matmul::Run(const float* a, const float* b, float* c, void* scratchpad) const {
  const memory src = At(impl_->a, a), weights = At(impl_->b, b), dst = At(impl_->c, c),
               scratch = At(impl_->scratchpad, scratchpad);
  Execute<4>(impl_->primitive, {{{DNNL_ARG_SRC, src.get()},
                                 {DNNL_ARG_WEIGHTS, weights.get()},
                                 {DNNL_ARG_DST, dst.get()},
                                 {DNNL_ARG_SCRATCHPAD, scratch.get()}}});
}

struct InPlace::Impl : Base {
  memory::desc data;
};

absl::StatusOr<InPlace> InPlace::Make(const SoftmaxSpec& spec) {
  return Try("softmax", [&] {
    auto impl = std::make_unique<Impl>();
    impl->data = Dense2(spec.rows, spec.columns);
    const dnnl::primitive_attr attributes = Attributes(Epilogue::kNone);
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::softmax_forward::primitive_desc pd(Cpu(), dnnl::prop_kind::forward_inference,
                                                   dnnl::algorithm::softmax_accurate, impl->data,
                                                   impl->data, /*axis=*/1, attributes);
#else
    const dnnl::softmax_forward::primitive_desc pd(
        dnnl::softmax_forward::desc(dnnl::prop_kind::forward_inference, impl->data, /*axis=*/1),
        attributes, Cpu());
#endif
    static_cast<Base&>(*impl) = MakeBase(pd, dnnl::softmax_forward(pd));
    return InPlace(std::move(impl));
  });
}

absl::StatusOr<InPlace> InPlace::Make(const ActivationSpec& spec) {
  return Try("activation", [&] {
    auto impl = std::make_unique<Impl>();
    impl->data = Dense2(1, spec.count);
    const dnnl::primitive_attr attributes = Attributes(Epilogue::kNone);
    const Function function = FunctionOf(spec.epilogue);
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::eltwise_forward::primitive_desc pd(Cpu(), dnnl::prop_kind::forward_inference,
                                                   function.algorithm, impl->data, impl->data,
                                                   function.alpha, 0.f, attributes);
#else
    const dnnl::eltwise_forward::primitive_desc pd(
        dnnl::eltwise_forward::desc(dnnl::prop_kind::forward_inference, function.algorithm,
                                    impl->data, function.alpha, 0.f),
        attributes, Cpu());
#endif
    static_cast<Base&>(*impl) = MakeBase(pd, dnnl::eltwise_forward(pd));
    return InPlace(std::move(impl));
  });
}

InPlace::InPlace(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
InPlace::InPlace(InPlace&&) noexcept = default;
InPlace& InPlace::operator=(InPlace&&) noexcept = default;
InPlace::~InPlace() = default;
std::string_view InPlace::implementation() const { return impl_->name; }
size_t InPlace::scratchpad_bytes() const { return impl_->scratchpad.get_size(); }

void InPlace::Run(float* data, void* scratchpad) const {
  const memory values = At(impl_->data, data), scratch = At(impl_->scratchpad, scratchpad);
  Execute<3>(impl_->primitive, {{{DNNL_ARG_SRC, values.get()},
                                 {DNNL_ARG_DST, values.get()},
                                 {DNNL_ARG_SCRATCHPAD, scratch.get()}}});
}

}  // namespace attnd::onednn
