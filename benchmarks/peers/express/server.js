// A webhook receiver as it is usually written for Node: verified with the official library, stored, queued, answered.
import { Queue } from 'bullmq';
import express from 'express';
import pg from 'pg';
import Stripe from 'stripe';

const { PORT, DATABASE_URL, REDIS_PORT, SECRET } = process.env;
const stripe = new Stripe('sk_test_unused');
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 20 });
const queue = new Queue('events', { connection: { host: '127.0.0.1', port: Number(REDIS_PORT) } });

await pool.query('create table if not exists events (id text primary key, body jsonb not null, at timestamptz default now())');

const app = express();
app.post('/api/webhooks/stripe', express.raw({ type: 'application/json', limit: '1mb' }), async (request, response) => {
  let event;
  try {
    event = stripe.webhooks.constructEvent(request.body, request.headers['stripe-signature'], SECRET);
  } catch {
    return response.status(400).json({ error: 'signature' });
  }
  const { rowCount } = await pool.query('insert into events (id, body) values ($1, $2) on conflict do nothing', [event.id, event]);
  if (rowCount) await queue.add(event.type, { id: event.id }, { jobId: event.id });
  response.json({ received: true });
});
app.listen(Number(PORT), '127.0.0.1', () => console.log('ready'));
