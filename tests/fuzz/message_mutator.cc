#include "tests/fuzz/message_mutator.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <string>

#include "attnd/v1/tensor.pb.h"
#include "google/protobuf/descriptor.h"
#include "tests/fuzz/json_mutator.h"

namespace attnd {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int64_t kNumbers[] = {0,
                                1,
                                2,
                                3,
                                4,
                                5,
                                8,
                                31,
                                32,
                                33,
                                64,
                                65,
                                100,
                                -1,
                                -2,
                                -3,
                                65'536,
                                1 << 20,
                                std::numeric_limits<int32_t>::max(),
                                std::numeric_limits<int32_t>::min(),
                                int64_t{1} << 32,
                                int64_t{1} << 62,
                                std::numeric_limits<int64_t>::max(),
                                std::numeric_limits<int64_t>::min()};
constexpr float kFloats[] = {
    0, 1, -1, 0.5f, INFINITY, -INFINITY, NAN, 1e30f, std::numeric_limits<float>::denorm_min()};
constexpr size_t kTextBytesMax = 256;
constexpr int kRepeatsMax = 40;

template <typename T, size_t N>
T OneOf(const T (&values)[N], std::minstd_rand& random) {
  return values[random() % N];
}

// Only where it is small: a shape of 2^60 is tried with the bytes that are there.
void FitData(v1::Tensor& tensor) {
  uint64_t bytes = tensor.dtype() == v1::DATA_TYPE_FLOAT32 ? sizeof(float) : 1;
  for (const int64_t size : tensor.shape()) {
    if (size < 1 || size > 64) return;
    bytes *= static_cast<uint64_t>(size);
    if (bytes > 4096) return;
  }
  tensor.mutable_data()->resize(bytes);
}

void SetValue(Message& message, const FieldDescriptor& field, std::minstd_rand& random) {
  const Reflection& reflection = *message.GetReflection();
  const bool adds = field.is_repeated();
  const int64_t number = OneOf(kNumbers, random);
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      const auto value = static_cast<int32_t>(number);
      adds ? reflection.AddInt32(&message, &field, value)
           : reflection.SetInt32(&message, &field, value);
      break;
    }
    case FieldDescriptor::CPPTYPE_INT64:
      adds ? reflection.AddInt64(&message, &field, number)
           : reflection.SetInt64(&message, &field, number);
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      if (!adds) reflection.SetBool(&message, &field, random() % 2 == 0);
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      // Beyond the last value and below the first, now and then.
      if (!adds) reflection.SetEnumValue(&message, &field, static_cast<int>(random() % 12) - 1);
      break;
    case FieldDescriptor::CPPTYPE_FLOAT: {
      const float value = OneOf(kFloats, random);
      adds ? reflection.AddFloat(&message, &field, value)
           : reflection.SetFloat(&message, &field, value);
      break;
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string unused;
      const std::string old =
          adds ? std::string() : reflection.GetStringReference(message, &field, &unused);
      std::string text = MutateBytes(old, std::max(kTextBytesMax, old.size()));
      adds ? reflection.AddString(&message, &field, std::move(text))
           : reflection.SetString(&message, &field, std::move(text));
      break;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      adds ? (void)reflection.AddMessage(&message, &field)
           : (void)reflection.MutableMessage(&message, &field);
      break;
    default:
      break;  // The contract has no other types.
  }
}

// Grows, shrinks, or repeats what is last.
void ChangeRepeated(Message& message, const FieldDescriptor& field, std::minstd_rand& random) {
  const Reflection& reflection = *message.GetReflection();
  const int size = reflection.FieldSize(message, &field);
  if (size > 0 && random() % 3 == 0) {
    reflection.RemoveLast(&message, &field);
    return;
  }
  int repeats = random() % 8 == 0 ? kRepeatsMax : 1;
  if (size > 4 * kRepeatsMax) repeats = 0;
  for (int i = 0; i < repeats; ++i) {
    const bool copies = size > 0 && field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    SetValue(message, field, random);
    if (!copies) continue;
    reflection.MutableRepeatedMessage(&message, &field, size + i)
        ->CopyFrom(reflection.GetRepeatedMessage(message, &field, size - 1));
  }
}

// The message in the field, if it has one.
Message* Inside(Message& message, const FieldDescriptor& field, std::minstd_rand& random) {
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return nullptr;
  const Reflection& reflection = *message.GetReflection();
  if (!field.is_repeated()) {
    return reflection.HasField(message, &field) ? reflection.MutableMessage(&message, &field)
                                                : nullptr;
  }
  const int size = reflection.FieldSize(message, &field);
  if (size == 0) return nullptr;
  return reflection.MutableRepeatedMessage(&message, &field, static_cast<int>(random() % size));
}

void ChangeField(Message& message, std::minstd_rand& random) {
  const auto& type = *message.GetDescriptor();
  if (type.field_count() == 0) return;
  const FieldDescriptor& field = *type.field(static_cast<int>(random() % type.field_count()));
  if (Message* inside = Inside(message, field, random); inside != nullptr && random() % 4 != 0) {
    ChangeField(*inside, random);
    return;
  }
  if (random() % 8 == 0) {
    message.GetReflection()->ClearField(&message, &field);
  } else if (field.is_repeated()) {
    ChangeRepeated(message, field, random);
  } else {
    SetValue(message, field, random);
  }
}

void FitTensors(Message& message) {
  if (message.GetDescriptor() == v1::Tensor::descriptor()) {
    FitData(static_cast<v1::Tensor&>(message));
    return;
  }
  std::vector<const FieldDescriptor*> fields;
  const Reflection& reflection = *message.GetReflection();
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      FitTensors(*reflection.MutableMessage(&message, field));
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      FitTensors(*reflection.MutableRepeatedMessage(&message, field, i));
    }
  }
}

}  // namespace

void MutateMessage(Message& message, std::minstd_rand& random) {
  const size_t changes = 1 + random() % 4;
  for (size_t i = 0; i < changes; ++i) ChangeField(message, random);
  if (random() % 2 == 0) FitTensors(message);
}

}  // namespace attnd
