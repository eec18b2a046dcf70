// Sends one span "work" with the defaults of OpenTelemetry's NodeSDK.
import { createRequire } from "node:module";

// The packages lie in a cache folder, away from this file.
const require = createRequire(process.env.INTEROP_NODE + "/");
const { context, propagation, trace } = require("@opentelemetry/api");
const { NodeSDK } = require("@opentelemetry/sdk-node");

const sdk = new NodeSDK({ instrumentations: [] });
sdk.start();
const parent = propagation.extract(context.active(), { traceparent: process.env.TRACEPARENT ?? "" });
trace.getTracer("interop").startSpan("work", {}, parent).end();
await sdk.shutdown();
