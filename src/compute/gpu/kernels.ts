/**
 * Which ONNX operations the devices have kernels for, in float32 where nothing else is said. Of WebGPU each was compiled with
 * fallback to the processors disabled and compared with the CPU's numbers (`npm run test:webgpu`, ONNX Runtime 1.30). Of CUDA
 * it is what ONNX Runtime placed there with CUDA's libraries as stubs: nothing was computed.
 *
 * A test in `npm test` lowers every graph for every device and asks for a row here, so that no operation is written for a
 * device without somebody having looked.
 */

/** `yes`, or why not. */
export interface DeviceRow {
  readonly webgpu: string;
  readonly cuda: string;
}

const BOTH: DeviceRow = { webgpu: "yes", cuda: "yes" };

const ON_BOTH = [
  "Add",
  "Cast",
  "Clip",
  "Concat",
  "CumSum",
  "Div",
  "Equal",
  "Exp",
  "Expand",
  "FastGelu",
  "Gather",
  "GatherElements",
  "Gemm",
  "GreaterOrEqual",
  "Identity",
  "Less",
  "LessOrEqual",
  "Log",
  "MatMul",
  "MatMulBnb4",
  "Max",
  "Min",
  "Mul",
  "Neg",
  "QuickGelu",
  "ReduceMax",
  "ReduceMean",
  "ReduceSum",
  "Reshape",
  "RotaryEmbedding",
  "ScatterElements",
  "ScatterND",
  "Sigmoid",
  "SimplifiedLayerNormalization",
  "Slice",
  "Softmax",
  "Split",
  "Sqrt",
  "Squeeze",
  "Sub",
  "Tanh",
  "TopK",
  "Transpose",
  "Unsqueeze",
] as const;

/** Operations by name. */
export const DEVICE_KERNELS: Readonly<Record<string, DeviceRow>> = {
  ...Object.fromEntries(ON_BOTH.map((name) => [name, BOTH])),
  BitShift: { webgpu: "no: limbs of 16 bits", cuda: "no: limbs of 16 bits" },
  BitwiseXor: { webgpu: "no: a table", cuda: "no: a table" },
  FusedMatMul: { webgpu: "no: Transpose, MatMul, Mul", cuda: "yes" },
  GroupQueryAttention: { webgpu: "yes", cuda: "refused in float32: 16-bit numbers only" },
  Loop: { webgpu: "on the host, its body on the device", cuda: "on the host, its body on the device" },
  Sum: { webgpu: "no: Add", cuda: "yes" },
};
